// SPDX-License-Identifier: Apache-2.0
//
// Compiled packages against transformers: lfmc verify of every checkpoint,
// stored format and target that this machine runs.
#include "Shell.h"

#include "targets/Target.h"

#include <nlohmann/json.hpp>

#include <set>

using nlohmann::json;

namespace {

struct Case {
  std::string checkpoint, goldens, flags;
};

void PrintTo(const Case &c, std::ostream *out) {
  *out << c.checkpoint << " " << c.flags;
}

class Verify : public testing::TestWithParam<Case> {};

TEST_P(Verify, EqualsTransformers) {
  const Case &c = GetParam();
  std::string package = (Sandbox::get().root / "package").string();
  Outcome compiled = runLfmc("compile " + checkpoint(c.checkpoint) + " -o " +
                             package + " --max-context 1500 " + c.flags);
  ASSERT_EQ(compiled.code, 0) << compiled.err;
  Outcome verified =
      runLfmc("verify --json " + package + " " + golden(c.goldens));
  ASSERT_EQ(verified.err, "");
  EXPECT_EQ(verified.code, 0) << verified.out;
  json report = json::parse(verified.out);
  EXPECT_EQ(report["cases"], 8); // p0 .. p4, plong, two of a batch
  // Every row: 1 + 2 + 9 + 40 + 65 of prompts, 9 + 40 decoded, 2 of the long
  // prompt, 2 x 12 of the batch.
  EXPECT_EQ(report["logits"]["compared"], 192);
  EXPECT_LE(report["logits"]["max_abs_error"], 2e-4);
  EXPECT_LE(report["decode_minus_prefill"]["max_abs_error"], 1e-4);
  EXPECT_LE(report["chunked_minus_whole"]["max_abs_error"], 1e-4);
  EXPECT_EQ(report["greedy"]["tokens"], 64);
  EXPECT_EQ(report["greedy"]["wrong"], 0);
  EXPECT_EQ(report["passed"], true);
}

std::vector<Case> cases() {
  std::vector<Case> all = {{"dense-a-bf16", "dense-a-bf16", ""},
                           {"dense-a-bf16", "dense-a-bf16", "--weights f32"},
                           {"dense-a-bf16", "dense-a-bf16", "--weights f16"},
                           {"dense-a-bf16", "dense-a-bf16", "--prefill 7"},
                           {"dense-b-bf16", "dense-b-bf16", ""},
                           {"dense-b-bf16", "dense-b-bf16", "--weights f32"},
                           {"dense-b-bf16", "dense-b-bf16", "--weights f16"},
                           {"dense-b-bf16-sharded", "dense-b-bf16", ""},
                           {"dense-b-bf16-legacycfg", "dense-b-bf16", ""},
                           {"dense-b-f32", "dense-b-f32", ""},
                           {"moe-8e-bf16-biasf32", "moe-8e-bf16-biasf32", ""},
                           {"moe-32e-bf16", "moe-32e-bf16", "--weights f32"}};
  for (const lfmc::Target &target : lfmc::allTargets())
    if (lfmc::runsOnHost(target) && &target != &lfmc::hostTarget())
      all.push_back(
          {"dense-b-bf16", "dense-b-bf16", "--target " + target.name.str()});
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Verify, testing::ValuesIn(cases()));

std::string example() { return LFMC_EXAMPLES "/lfm2-small-dense"; }

TEST(Trained, VerifiesAndHasThePerplexityOfTransformers) {
  Outcome verified =
      runLfmc("verify --json " + example() + " " + golden("lfm2-small-dense"));
  EXPECT_EQ(verified.code, 0) << verified.err << verified.out;
  json report = json::parse(verified.out);
  EXPECT_EQ(report["cases"], 2);
  EXPECT_EQ(report["logits"]["compared"], 64);
  EXPECT_EQ(report["nll"]["compared"], 1022);

  Outcome eval = runLfmc("eval --json --runs 40 --text " + example() +
                         "/heldout.txt " + example());
  ASSERT_EQ(eval.code, 0) << eval.err;
  json result = json::parse(eval.out);
  json reference = json::parse(
      readFile(example() + "/reference_ppl.json"))["results"]["sub40_f32"];
  EXPECT_EQ(result["tokens"], reference["tokens"]);
  double wanted = reference["ppl"];
  EXPECT_NEAR(double(result["perplexity"]), wanted, 1e-3 * wanted);
}

// A package against itself, in another format, and one of another model.
TEST(Trained, DivergesFromAReference) {
  std::string eval =
      "eval --json --runs 4 --text " + example() + "/heldout.txt ";
  std::string f16 = (Sandbox::get().root / "f16").string();
  ASSERT_EQ(runLfmc("compile " + example() + " --weights f16 -o " + f16).code,
            0);
  // Runs that are no multiple of what is read in one step, too.
  for (const char *length : {"", "--length 700 "}) {
    Outcome same =
        runLfmc(eval + length + example() + " --reference " + example());
    ASSERT_EQ(same.code, 0) << same.err;
    json report = json::parse(same.out);
    EXPECT_EQ(report["tokens"], *length ? 2800 : 2044);
    EXPECT_EQ(report["kld_mean"], 0);
    EXPECT_EQ(report["topk_kl"], 0);
    EXPECT_EQ(report["kld_percentiles"]["max"], 0);
    EXPECT_EQ(report["same_top1"], 1);
    EXPECT_EQ(report["reference"]["perplexity"], report["perplexity"]);
  }
  // The same weights but for those that f16 rounds.
  Outcome near = runLfmc(eval + f16 + " --reference " + example());
  ASSERT_EQ(near.code, 0) << near.err;
  json report = json::parse(near.out);
  EXPECT_GT(report["kld_mean"], 0);
  EXPECT_LT(report["kld_mean"], 1e-4);
  EXPECT_GT(report["kld_se"], 0);
  EXPECT_GT(report["topk_kl"], 0);
  EXPECT_GT(report["same_top1"], 0.99);
  EXPECT_LE(report["kld_percentiles"]["50"], report["kld_percentiles"]["99"]);
  EXPECT_LE(report["kld_percentiles"]["99"], report["kld_percentiles"]["max"]);
  std::string text =
      runLfmc("eval --runs 4 --text " + example() + "/heldout.txt " + f16 +
              " --reference " + example())
          .out;
  for (const char *part : {"perplexity ", "KLD ", "Top-32 KL ", "same top "})
    EXPECT_NE(text.find(part), std::string::npos) << text;

  Outcome other =
      runLfmc(eval + example() + " --reference " + checkpoint("dense-b-bf16"));
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("vocabulary of 512 tokens"), std::string::npos)
      << other.err;
}

TEST(Trained, WritesTheReferencesText) {
  json samples = json::parse(
      readFile(example() + "/reference_ppl.json"))["greedy_samples"];
  std::string wanted = samples[0], prefix = "<|startoftext|>",
              prompt = "It is a truth universally acknowledged, that";
  ASSERT_EQ(wanted.rfind(prefix + prompt, 0), 0u);
  wanted = wanted.substr((prefix + prompt).size());
  Outcome run =
      runLfmc("run " + example() + " --prompt '" + prompt + "' -n 64 --temp 0");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out.substr(0, wanted.size()), wanted);
  EXPECT_NE(run.err.find("tok/s"), std::string::npos);
}

// A package that computes something else must not pass.
TEST(Verify, FailsForAnotherModelsGoldens) {
  Outcome other =
      runLfmc("verify --max-context 1500 --json " + checkpoint("dense-b-bf16") +
              " " + golden("dense-b-f32"));
  EXPECT_EQ(other.code, 1) << other.out;
  EXPECT_EQ(json::parse(other.out)["passed"], false);
  Outcome strict =
      runLfmc("verify --max-context 1500 --tolerance 1e-9 " +
              checkpoint("dense-b-bf16") + " " + golden("dense-b-bf16"));
  EXPECT_EQ(strict.code, 1);
  EXPECT_NE(strict.out.find("FAILED"), std::string::npos);
  Outcome shape = runLfmc("verify " + checkpoint("dense-b-bf16") + " " +
                          golden("lfm2-small-dense"));
  EXPECT_EQ(shape.code, 1);
  EXPECT_NE(shape.err.find("'run0.logits_first16'"), std::string::npos)
      << shape.err;
  Outcome shorter =
      runLfmc("verify --max-context 64 " + checkpoint("dense-b-bf16") + " " +
              golden("dense-b-bf16"));
  EXPECT_EQ(shorter.code, 1);
  EXPECT_NE(shorter.err.find("--max-context"), std::string::npos)
      << shorter.err;
}

// What a package is worth is measured when it is made.
TEST(Verify, FiguresInTheManifest) {
  const std::string directory = (Sandbox::get().root / "figures").string();
  auto measured = [&](const std::string &flags) -> json {
    Outcome outcome = runLfmc("compile " + tiny() + " -o " + directory +
                              " --force --name tiny " + flags);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    json manifest = json::parse(readFile(directory + "/tiny.json"));
    EXPECT_EQ(manifest["files"].size(),
              std::set<std::string>(manifest["files"].begin(),
                                    manifest["files"].end())
                  .size());
    return manifest["measured"];
  };
  EXPECT_EQ(measured(""), nullptr);
  EXPECT_EQ(measured("--quant q8 --no-verify"), nullptr);

  json rounded = measured("--quant q8");
  EXPECT_GT(rounded["kld_mean"], 0);
  EXPECT_LT(rounded["kld_mean"], 0.05); // random weights
  EXPECT_GT(rounded["same_top1"], 0.8);
  EXPECT_FALSE(rounded.contains("executor_error"));

  json exact = measured("--quant q4 --verify");
  EXPECT_GT(exact["kld_mean"], rounded["kld_mean"]);
  EXPECT_LT(exact["executor_error"], 0.05);

  json plain = measured("--verify");
  EXPECT_FALSE(plain.contains("kld_mean"));
  EXPECT_LT(plain["executor_error"], 1e-5);
  EXPECT_LT(plain["decode_minus_prefill"], 1e-4);
  EXPECT_GT(plain["perplexity"], 1);
}

} // namespace
