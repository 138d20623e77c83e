// SPDX-License-Identifier: Apache-2.0
//
// The reference executor against transformers: imported models, fused and not,
// give the golden logits, hidden rows and decode steps.
#include "codegen/reference/CheckpointWeights.h"
#include "codegen/reference/GoldenCheck.h"
#include "dialects/Register.h"
#include "frontend/ImportLfm2.h"
#include "passes/Pipeline.h"

#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace lfmc;

namespace {

struct Case {
  const char *checkpoint, *goldens;
  bool fused;
  int64_t chunk, maxTokens;
  size_t lines; ///< comparisons that must take place
};

void PrintTo(const Case &c, std::ostream *out) {
  *out << c.checkpoint << (c.fused ? " fused" : "") << " chunks of " << c.chunk;
}

class Reference : public ::testing::TestWithParam<Case> {};

TEST_P(Reference, EqualsTransformers) {
  const Case &c = GetParam();
  std::string data = LFMC_TEST_DATA;
  auto checkpoint = Checkpoint::open(data + "/checkpoints/" + c.checkpoint);
  ASSERT_TRUE(bool(checkpoint)) << llvm::toString(checkpoint.takeError());
  auto goldens = SafeTensors::open(data + "/goldens/" + c.goldens);
  ASSERT_TRUE(bool(goldens)) << llvm::toString(goldens.takeError());

  DialectRegistry registry;
  registerLfmcDialects(registry);
  MLIRContext context(registry);
  ImportOptions options;
  options.maxContext = options.maxPrefill = 1500;
  OwningOpRef<ModuleOp> module = importLfm2(context, *checkpoint, options);
  ASSERT_TRUE(bool(module));
  if (c.fused) {
    PassManager passes(&context);
    buildGraphPipeline(passes);
    ASSERT_TRUE(succeeded(passes.run(*module)));
  }
  auto model = ReferenceModel::create(
      *module, [&](lfm2::WeightOp weight, MutableArrayRef<float> values) {
        return readCheckpointWeight(*checkpoint, weight, values);
      });
  ASSERT_TRUE(bool(model)) << llvm::toString(model.takeError());
  std::vector<TapName> taps = tapNames(*module);
  std::vector<std::string> locations;
  for (const TapName &tap : taps)
    locations.push_back(tap.location);
  (*model)->setTaps(locations);

  auto report =
      checkGoldens(**model, taps, *goldens, 2e-4f, c.chunk, c.maxTokens);
  ASSERT_TRUE(bool(report)) << llvm::toString(report.takeError());
  EXPECT_EQ(report->lines.size(), c.lines);
  for (const CheckReport::Line &line : report->lines)
    EXPECT_LE(line.worst, line.limit) << line.name;
  EXPECT_TRUE(report->passed());
}

// Five prompts and plong: 6 comparisons of logits, 2 of decode with goldens and
// 2 with prefill, 2 hidden rows, and 2 (fused: 1) for each layer; the logits of
// each router.
INSTANTIATE_TEST_SUITE_P(
    Checkpoints, Reference,
    ::testing::Values(
        Case{"dense-b-f32", "dense-b-f32.safetensors", false, 0, 0, 24},
        Case{"dense-a-bf16", "dense-a-bf16.safetensors", false, 0, 0, 22},
        Case{"dense-b-f32", "dense-b-f32.safetensors", true, 0, 65, 17},
        Case{"dense-a-bf16", "dense-a-bf16.safetensors", true, 0, 65, 16},
        Case{"dense-b-f32", "dense-b-f32.safetensors", false, 1, 65, 23},
        Case{"dense-b-f32", "dense-b-f32.safetensors", false, 7, 65, 23},
        Case{"dense-b-bf16-sharded", "dense-b-bf16.safetensors", false, 3, 65,
             23},
        Case{"dense-b-bf16-legacycfg", "dense-b-bf16.safetensors", true, 3, 65,
             17},
        Case{"moe-8e-bf16-biasf32", "moe-8e-bf16-biasf32.safetensors", false, 0,
             0, 25},
        Case{"moe-32e-bf16", "moe-32e-bf16.safetensors", true, 3, 65, 17}));

TEST(ReferenceModel, RefusesWhatDoesNotFit) {
  std::string data = LFMC_TEST_DATA;
  auto checkpoint = Checkpoint::open(data + "/checkpoints/dense-b-f32");
  ASSERT_TRUE(bool(checkpoint)) << llvm::toString(checkpoint.takeError());
  MLIRContext context;
  ImportOptions options;
  options.maxContext = options.maxPrefill = 64;
  OwningOpRef<ModuleOp> module = importLfm2(context, *checkpoint, options);
  ASSERT_TRUE(bool(module));
  auto model = ReferenceModel::create(*module, nullptr);
  ASSERT_TRUE(bool(model)) << llvm::toString(model.takeError());
  auto error = [&](llvm::ArrayRef<int32_t> tokens) {
    return llvm::toString((*model)->prefill(tokens).takeError());
  };
  EXPECT_EQ(error({}), "expected at least one token, found none");
  EXPECT_EQ(error({1, 512}), "expected token ids below 512, found 512");
  EXPECT_EQ(error({-1}), "expected token ids below 512, found -1");
  EXPECT_EQ(error(std::vector<int32_t>(65, 1)),
            "65 tokens at position 0 do not fit in a context of 64");
}

} // namespace
