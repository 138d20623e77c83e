// SPDX-License-Identifier: Apache-2.0
//
// Libraries of several levels of a processor family: one file of weights, the
// same numbers on every level.
#include "Cross.h"

#include "targets/Target.h"

#include <nlohmann/json.hpp>

using nlohmann::json;
using namespace lfmc;

namespace {

const std::vector<std::string> levels = {"v2", "v3", "v3-vnni", "v4",
                                         "v4-vnni"};

class Levels : public testing::TestWithParam<const char *> {
protected:
  /// Compiles `model` with all levels; `flags` go to the compiler.
  static std::string compile(const std::string &model, const char *name,
                             const std::string &flags) {
    std::string directory = (Sandbox::get().root / name).string();
    Outcome outcome = runLfmc(
        "compile " + model + " -o " + directory +
        " --name tiny --target x86-64 --isa v2,v3,v3-vnni,v4,v4-vnni " + flags);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return directory;
  }
  static bool runs(const std::string &level) {
    return runsOnHost(**findTarget("x86-64-" + level));
  }
};

TEST_P(Levels, MatchGoldens) {
  std::string package = compile(checkpoint("dense-b-bf16"), GetParam(),
                                "--weights " + std::string(GetParam()));
  const std::string goldens = golden("dense-b-bf16");
  for (const std::string &level : levels) {
    Outcome outcome =
        runLfmc("verify " + package + " " + goldens + " --isa " + level);
    if (runs(level))
      EXPECT_EQ(outcome.code, 0) << level << outcome.out << outcome.err;
    else
      EXPECT_NE(outcome.err.find("processor lacks"), std::string::npos)
          << level << outcome.err;
  }
  json manifest = json::parse(readFile(package + "/tiny.json"));
  EXPECT_EQ(manifest["target"]["levels"].size(), levels.size());
  Outcome outcome = runLfmc("verify " + package + " " + goldens + " --isa v9");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("--isa v9: expected one level of the package, "
                             "which has x86-64-v2, "),
            std::string::npos)
      << outcome.err;
}
INSTANTIATE_TEST_SUITE_P(Kinds, Levels, testing::Values("f32", "bf16"));

// Activations on a boundary of two codes may differ, so that equal programs are
// close, not the same.
TEST_F(Levels, QuantizedAgree) {
  const std::string model = LFMC_EXAMPLES "/lfm2-small-dense";
  std::string package =
      compile(model, "quantized",
              "--quant q4,ffn=q4m,head=q6,conv=q8 --calibrate none");
  std::string text = (Sandbox::get().root / "text.txt").string();
  std::ofstream(text) << readFile(model + "/heldout.txt").substr(0, 9000);
  for (const std::string &level : levels) {
    if (!runs(level))
      continue;
    Outcome outcome =
        runLfmc("eval " + package + " --isa " + level + " --text " + text +
                " --reference " + package + " --json");
    ASSERT_EQ(outcome.code, 0) << level << outcome.err;
    json result = json::parse(outcome.out);
    EXPECT_LT(result["kld_mean"].get<double>(), 5e-4) << level;
    EXPECT_GT(result["same_top1"].get<double>(), 0.99) << level;
  }
}

// Prompts of a few tokens keep the blocks' scales and the order of sums, over
// columns of any number; of q4 those of less than 32 tokens.
TEST_F(Levels, ATokenOfAPromptHasTheBitsThatItHasAlone) {
  const std::string model = (Sandbox::get().root / "wide").string();
  std::filesystem::remove_all(model);
  Outcome made = runLfmc("synth tiny --ffn 6464 -o " + model);
  ASSERT_EQ(made.code, 0) << made.err;
  for (const std::string level : {"x86-64-v3", "x86-64-v4-vnni"})
    for (const std::string kind : {"q6", "q4"}) {
      if (!runsOnHost(**findTarget(level)))
        continue;
      SCOPED_TRACE(level + " " + kind);
      std::string package =
          ::compile(model,
                    "--calibrate none --max-context 128 --force --quant " +
                        kind + " --target " + level,
                    "cpu");
      std::vector<float> alone = logitsOf("cc", "", package, "1");
      std::vector<float> prompt = logitsOf("cc", "", package, "24");
      ASSERT_GT(prompt.size(), 0u);
      ASSERT_GT(alone.size(), prompt.size());
      alone.erase(alone.begin(), alone.end() - long(prompt.size()));
      EXPECT_EQ(alone, prompt);
    }
}

TEST_F(Levels, UnknownOrAlone) {
  std::string model = checkpoint("dense-b-bf16");
  Outcome outcome = runLfmc("compile " + model + " -o " +
                            (Sandbox::get().root / "x").string() +
                            " --target x86-64 --isa v3,v7");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("unknown target 'x86-64-v7'"), std::string::npos)
      << outcome.err;
  outcome = runLfmc("compile " + model + " -o " +
                    (Sandbox::get().root / "x").string() +
                    " --target x86-64-v3 --isa v3,v4");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("several (--isa) need a family"),
            std::string::npos)
      << outcome.err;
}

} // namespace
