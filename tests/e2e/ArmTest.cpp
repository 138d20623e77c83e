// SPDX-License-Identifier: Apache-2.0
//
// Cross-compiled packages: those of 64-bit Arm Linux run under qemu-aarch64,
// those of Android and Apple are checked as objects.
#include "Shell.h"

#include "targets/Target.h"

#include <nlohmann/json.hpp>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const fs::path example = LFMC_EXAMPLES "/lfm2-small-dense";

bool has(const std::string &program) {
  return shell("command -v " + program).code == 0;
}

/// Compiles into the sandbox; "" after a failure.
std::string compile(const std::string &model, const std::string &flags,
                    const std::string &name) {
  std::string package = (Sandbox::get().root / name).string();
  Outcome compiled = runLfmc("compile " + model + " -o " + package + " " +
                             flags + " --name " + name);
  EXPECT_EQ(compiled.code, 0) << compiled.err;
  return compiled.code ? "" : package;
}

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
  std::string package =
      compile(checkpoint("dense-b-bf16"),
              std::string("--max-context 1500 --target ") + GetParam().target,
              "arm");
  Outcome verified = runLfmc("verify --json " + package + " " +
                             golden("dense-b-bf16") + runner());
  ASSERT_EQ(verified.err, "");
  EXPECT_EQ(verified.code, 0) << verified.out;
  json report = json::parse(verified.out);
  EXPECT_EQ(report["logits"]["compared"], 192);
  EXPECT_LE(report["logits"]["max_abs_error"], 2e-4);
  EXPECT_EQ(report["greedy"]["tokens"], 64);
  EXPECT_EQ(report["passed"], true);
}

// Weights of 4 and 8 bits: all ways to read a prompt agree, the text is that of
// the reference, and the loss is near to it.
TEST_P(Arm, QuantizedFollowsTheReference) {
  const char *quant[] = {"q4", "q8"};
  const double tolerance[] = {12, 1.5};
  for (int i = 0; i < 2; ++i) {
    SCOPED_TRACE(quant[i]);
    std::string package = compile(
        example, std::string("--calibrate none --max-context 1024 --quant ") +
                     quant[i] + " --target " + GetParam().target,
        "small");
    Outcome verified = runLfmc(
        "verify --json --tolerance " + std::to_string(tolerance[i]) +
        " --consistency 2e-3 --gap 3 " + package + " " +
        golden("lfm2-small-dense") + runner());
    ASSERT_EQ(verified.err, "");
    json report = json::parse(verified.out);
    EXPECT_EQ(report["decode_minus_prefill"]["passed"], true) << verified.out;
    EXPECT_EQ(report["chunked_minus_whole"]["passed"], true) << verified.out;
    EXPECT_EQ(report["logits"]["passed"], true) << verified.out;
    EXPECT_EQ(report["greedy"]["wrong"], 0) << verified.out;
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Arm,
    testing::Values(Level{"aarch64-linux", "cortex-a72"},
                    Level{"raspberry-pi-5", "cortex-a76"},
                    Level{"aarch64-linux+dotprod+i8mm", "max"}),
    [](const auto &info) {
      std::string name = info.param.target;
      for (char &c : name)
        if (!isalnum(c))
          c = '_';
      return name;
    });

} // namespace
