// SPDX-License-Identifier: Apache-2.0
//
// Cross-compiled packages of 64-bit Arm Linux, under qemu-aarch64.
#include "Cross.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct Level {
  const char *target, *cpu; ///< of lfmc; of qemu
};

/// qemu's processors: A72 has nothing beyond Armv8.0, A76 has dotprod and fp16.
class Arm : public testing::TestWithParam<Level> {
protected:
  void SetUp() override {
    if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
      GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  }
  std::string runner() const {
    return std::string(" --runner 'qemu-aarch64 -cpu ") + GetParam().cpu + "'";
  }
};

TEST_P(Arm, EqualsTransformers) {
  for (const std::string model : {"dense-b-bf16", "dense-a-bf16", "dense-b-f32",
                                  "moe-8e-bf16-biasf32", "moe-32e-bf16"}) {
    SCOPED_TRACE(model);
    std::string package = compile(
        checkpoint(model),
        std::string("--max-context 1500 --target ") + GetParam().target, "arm");
    // All prompts of one model, a short and a long one of the others.
    const bool all = model == "dense-b-bf16";
    Outcome verified = runLfmc("verify --json --threads 2 --case " +
                               std::string(all ? "p0,p1,p2,p3 " : "p0,p2 ") +
                               package + " " + golden(model) + runner());
    ASSERT_EQ(verified.err, "");
    EXPECT_EQ(verified.code, 0) << verified.out;
    json report = json::parse(verified.out);
    EXPECT_EQ(report["cases"], all ? 4 : 2);
    EXPECT_LE(report["logits"]["max_abs_error"], 2e-4);
    EXPECT_EQ(report["greedy"]["wrong"], 0);
    EXPECT_EQ(report["passed"], true);
  }
}

// Quantized weights: a prompt, its tokens one by one and in pieces give the
// same bits, whichever kernels compute them, but for q4, of whose weights some
// levels rewrite those of prompts; and what quantizing costs a model
// of random weights is what it costs on this machine.
TEST_P(Arm, QuantizedAsOnThisMachine) {
  const bool matrix = std::string(GetParam().cpu) == "max";
  const std::string common =
      "--case p2,p3 --json --tolerance 100 --gap 100 --consistency ";
  for (const std::string kind : {"q8", "q4", "q6", "q4m/64"}) {
    if (!matrix && kind != "q4" && kind != "q8")
      continue;
    SCOPED_TRACE(kind);
    const std::string flags =
        "--calibrate none --max-context 128 --quant " + kind;
    const bool rewritten = kind == "q4";
    // Without VNNI prompts of q8 round coarser here; v2 does not.
    Outcome here = runLfmc("verify " + common + (rewritten ? "100 " : "1e-4 ") +
                           tiny() + " " + golden("dense-b-bf16") + " " + flags +
                           (kind == "q8" ? " --target x86-64-v2" : ""));
    ASSERT_EQ(here.code, 0) << here.err << here.out;
    std::string package =
        compile(tiny(), flags + " --target " + GetParam().target, "quant");
    Outcome there =
        runLfmc("verify " + common + (rewritten && matrix ? "100 " : "0 ") +
                package + " " + golden("dense-b-bf16") + runner());
    ASSERT_EQ(there.err, "");
    EXPECT_EQ(there.code, 0) << there.out;
    double wanted =
        json::parse(here.out)["logits"]["max_abs_error"].get<double>();
    double found =
        json::parse(there.out)["logits"]["max_abs_error"].get<double>();
    // Norms are summed in another order, so that some activations round to the
    // int8 beside: 14 % for q8, less for others. All Arm levels agree.
    EXPECT_NEAR(found, wanted, 0.3 * wanted);
  }
}

// A mixture of random weights, both matrices of its experts quantized, token by
// token. Until an activation lies between two codes the logits are those of
// this machine.
TEST_P(Arm, QuantizedExpertsAsOnThisMachine) {
  const std::string model = (Sandbox::get().root / "mixture").string();
  fs::remove_all(model);
  Outcome made = runLfmc("synth tiny --experts 8 --experts-per-token 3 "
                         "--dtype f32 -o " +
                         model);
  ASSERT_EQ(made.code, 0) << made.err;
  for (const std::string kind : {"q8", "q4"}) {
    SCOPED_TRACE(kind);
    const std::string flags =
        "--calibrate none --max-context 64 --force --quant " + kind;
    std::string here = compile(model, flags + " --target x86-64-v2", "cpu");
    std::vector<float> wanted = logitsOf("cc", "", here);
    std::string there =
        compile(model, flags + " --target " + GetParam().target, "cpu");
    std::vector<float> found =
        logitsOf("aarch64-linux-gnu-gcc",
                 std::string("qemu-aarch64 -cpu ") + GetParam().cpu, there);
    ASSERT_EQ(found.size(), wanted.size());
    constexpr size_t vocab = 512;
    ASSERT_EQ(wanted.size() % vocab, 0u);
    float largest = 0, error = 0, first = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      largest = std::max(largest, std::fabs(wanted[i]));
      error = std::max(error, std::fabs(found[i] - wanted[i]));
      if (i < vocab)
        first = error;
    }
    EXPECT_GT(largest, 0);
    EXPECT_LE(first, 1e-5f * largest);
    EXPECT_LE(error, 0.05f * largest);
  }
}

// A prompt for which weights are rewritten, by smmla there and by vpdpbusd
// here. Norms are summed in another order, so that activations here and there
// round to the int8 beside: a prompt of rewritten weights is no further apart
// than one that is too short for them.
TEST(ArmPrompts, RewrittenWeightsAsOnThisMachine) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  if (shell("grep -q avx_vnni /proc/cpuinfo").code != 0)
    GTEST_SKIP() << "NOT TESTED: this machine does not run x86-64-v3-vnni";
  const std::string flags =
      "--calibrate none --max-context 64 --force --quant q4 --target ";
  const std::string here =
      compile(example.string(), flags + "x86-64-v3-vnni", "cpu");
  std::vector<float> wanted[2], found[2];
  const char *first[] = {"31", "45"}; // eleven quads and one token
  for (int i : {0, 1})
    wanted[i] = logitsOf("cc", "", here, first[i]);
  const std::string there =
      compile(example.string(), flags + "aarch64-linux+dotprod+i8mm", "cpu");
  for (int i : {0, 1})
    found[i] = logitsOf("aarch64-linux-gnu-gcc", "qemu-aarch64 -cpu max ",
                        there, first[i]);
  const size_t count = found[1].size(), before = found[0].size() - count;
  ASSERT_EQ(wanted[1].size(), count);
  double apart[2] = {}, rewriting = 0; // of the tokens from the 45th on
  for (size_t i = 0; i < count; ++i) {
    apart[0] += std::pow(found[0][before + i] - wanted[0][before + i], 2);
    apart[1] += std::pow(found[1][i] - wanted[1][i], 2);
    rewriting += std::pow(found[1][i] - found[0][before + i], 2);
  }
  EXPECT_GT(rewriting, 0);
  EXPECT_LT(apart[1], 4 * apart[0]);
}

INSTANTIATE_TEST_SUITE_P(
    , Arm,
    testing::Values(Level{"aarch64-linux", "cortex-a72"},
                    Level{"raspberry-pi-5", "cortex-a76"},
                    Level{"aarch64-linux+dotprod+i8mm", "max"}),
    [](const auto &info) { return testName(info.param.target); });

/// The largest error of logits over f16 caches against transformers'.
double halfCacheError(const std::string &model, const std::string &target) {
  std::string package = compile(
      checkpoint(model),
      "--max-context 1500 --kv-cache f16 --force --target " + target, "halves");
  Outcome verified = runLfmc(
      "verify --json --tolerance 100 --gap 100 --consistency 1e-2 "
      "--case p0,p2 " +
      package + " " + golden(model) + " --runner 'qemu-aarch64 -cpu max'");
  EXPECT_EQ(verified.err, "");
  EXPECT_EQ(verified.code, 0) << verified.out;
  return json::parse(verified.out)["logits"]["max_abs_error"].get<double>();
}

// Products of halves in attention: rounding queries and weights to f16 (fhm)
// costs little more than rounding keys and values did; sums in f16 (fp16) an
// error as of 10 bits.
TEST(ArmHalves, EqualTransformersButForRounding) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  for (const std::string model : {"dense-b-bf16", "dense-a-bf16"}) {
    SCOPED_TRACE(model);
    EXPECT_LE(halfCacheError(model, "aarch64-linux"), 5e-3);
    EXPECT_LE(halfCacheError(model, "aarch64-linux+fhm"), 5e-3);
    EXPECT_LE(halfCacheError(model, "aarch64-linux+fp16"), 2e-2);
  }
  std::string package =
      compile(tiny(), "--kv-cache f16 --target aarch64-linux+fhm", "fhm");
  expectError(runLfmc("verify --case p0 " + package + " " +
                      golden("dense-b-bf16") +
                      " --runner 'qemu-aarch64 -cpu cortex-a76'"),
              "half-precision products added to single (FEAT_FHM)");
}

// A package that may use SVE2 does not depend on the length of its vectors.
TEST(Sve, EqualsTransformersAtAnyVectorLength) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  std::string package = compile(
      checkpoint("dense-b-bf16"),
      "--max-context 1500 --target aarch64-linux+dotprod+i8mm+sve2", "sve");
  std::string before;
  for (const char *length : {"sve128", "sve256"}) {
    SCOPED_TRACE(length);
    Outcome verified = runLfmc(
        "verify --json --case p0,p2 " + package + " " + golden("dense-b-bf16") +
        " --runner 'qemu-aarch64 -cpu max," + length + "=on'");
    ASSERT_EQ(verified.err, "");
    EXPECT_EQ(verified.code, 0) << verified.out;
    json report = json::parse(verified.out);
    EXPECT_LE(report["logits"]["max_abs_error"], 2e-4);
    std::string logits = report["logits"].dump();
    EXPECT_TRUE(before.empty() || before == logits) << before << logits;
    before = logits;
  }
  expectError(runLfmc("verify --case p0 " + package + " " +
                      golden("dense-b-bf16") +
                      " --runner 'qemu-aarch64 -cpu cortex-a76'"),
              "this processor lacks");
}

/// Where outer products are emulated: those of qemu 7.2 are wrong.
const std::string modelled = "aarch64-linux-gnu-gcc " LFMC_SMOPA_MODEL;

// Outer products, on vectors of any length, give the bits of smmla: in steps of
// sixteens, quads and single tokens, and where a library has both levels.
TEST(Sme, HasTheBitsOfSmmla) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  const std::string flags = "--calibrate none --max-context 64 --force --quant "
                            "q4 --target aarch64-linux",
                    smmla = "dotprod+i8mm", cc = "aarch64-linux-gnu-gcc";
  const char *first[] = {"45", "54"};
  std::vector<float> wanted[2];
  std::string package = compile(example.string(), flags + "+" + smmla, "cpu");
  for (int i : {0, 1})
    wanted[i] = logitsOf(cc, "qemu-aarch64 -cpu max", package, first[i]);
  ASSERT_FALSE(wanted[1].empty());

  package = compile(example.string(), flags + "+" + smmla + "+sme", "cpu");
  const json manifest = json::parse(readFile(package + "/cpu.json"));
  int outer = 0, linears = 0;
  for (const json &kernel : manifest["kernels"])
    if (kernel["generator"] == "linear" && kernel["params"]["tokens"] != 1) {
      ++linears;
      outer += kernel["params"].value("outer", 0);
    }
  EXPECT_GT(linears, 0);
  EXPECT_GE(outer, linears - 1); // but the head, which is not q4
  for (const char *length : {"sme128", "sme256", "sme512"})
    for (int i : {0, 1}) {
      SCOPED_TRACE(std::string(length) + " " + first[i]);
      EXPECT_EQ(logitsOf(modelled,
                         std::string("qemu-aarch64 -cpu max,sme=on,") + length +
                             "=on",
                         package, first[i]),
                wanted[i]);
    }
  Outcome refused =
      shell("qemu-aarch64 -cpu max,sme=off " +
            (Sandbox::get().root / "logits").string() + " " + package +
            "/cpu.weights " + (Sandbox::get().root / "ids").string() + " " +
            (Sandbox::get().root / "out").string() + " 0");
  EXPECT_NE(refused.code, 0);
  EXPECT_NE(refused.err.find("this processor lacks outer products"),
            std::string::npos)
      << refused.err;

  package = compile(example.string(),
                    flags + " --isa " + smmla + "," + smmla + "+sme", "cpu");
  for (const char *cpu : {"max,sme=off", "max,sme=on,sme512=on"}) {
    SCOPED_TRACE(cpu);
    EXPECT_EQ(logitsOf(modelled, std::string("qemu-aarch64 -cpu ") + cpu,
                       package, first[0]),
              wanted[0]);
  }
}

// Golden values are met as smmla meets them.
TEST(Sme, IsVerifiedAsSmmla) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  const std::string target = "aarch64-linux+dotprod+i8mm";
  json reports[2];
  for (int i : {0, 1}) {
    const std::string package =
        compile(tiny(),
                "--calibrate none --max-context 128 --quant q4 "
                "--target " +
                    target + (i ? "+sme" : ""),
                "quant");
    Outcome verified = runLfmc(
        "verify --case p2,p3 --json --tolerance 100 --gap 100 --consistency "
        "100 " +
        package + " " + golden("dense-b-bf16") +
        " --runner 'qemu-aarch64 -cpu max,sme=on,sme512=on' --runner-cc '" +
        modelled + " -static'");
    ASSERT_EQ(verified.err, "");
    EXPECT_EQ(verified.code, 0) << verified.out;
    reports[i] = json::parse(verified.out);
  }
  EXPECT_GT(reports[0]["logits"]["compared"], 0);
  EXPECT_EQ(reports[0], reports[1]);
}

// Several levels of one device in one library.
TEST(Levels, ChooseByTheProcessor) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  std::string package =
      compile(tiny(),
              "--max-context 256 --target aarch64-linux "
              "--isa base,dotprod,dotprod+i8mm+fhm --quant q8",
              "levels");
  ASSERT_NE(package, "");
  for (const char *cpu : {"cortex-a72", "cortex-a76", "max"}) {
    SCOPED_TRACE(cpu);
    Outcome verified =
        runLfmc("verify --json --case p2 --tolerance 100 --consistency 0 "
                "--gap 100 " +
                package + " " + golden("dense-b-bf16") +
                " --runner 'qemu-aarch64 -cpu " + cpu + "'");
    EXPECT_EQ(verified.code, 0) << verified.err << verified.out;
  }
  expectError(runLfmc("compile " + tiny() + " -o " + package +
                      " --target raspberry-pi-5 --isa base,i8mm"),
              "lacks the feature 'i8mm'");
}

} // namespace
