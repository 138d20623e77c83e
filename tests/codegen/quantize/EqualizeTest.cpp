// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Equalize.h"

#include "codegen/reference/CheckpointWeights.h"
#include "codegen/reference/ReferenceModel.h"
#include "dialects/lfm2/Factors.h"
#include "frontend/ImportLfm2.h"
#include "frontend/Synth.h"
#include "passes/Pipeline.h"
#include "passes/quantize/Channels.h"

#include "mlir/Pass/PassManager.h"

#include "Inputs.h"

#include <gtest/gtest.h>

using namespace lfmc;
using namespace mlir;

namespace {

TEST(ChannelFactors, DoNotDependOnEarlierScaling) {
  std::vector<double> inputs = {1, 2, 0.5, 4, 1, 0, 3},
                      weights = {1, 1, 3, 0.1, 7, 1, 0};
  std::vector<float> factors = channelFactors(inputs, weights);
  // Nothing is known of a channel that is dead on one side.
  EXPECT_EQ(factors[5], 1);
  EXPECT_EQ(factors[6], 1);
  std::vector<double> moved = inputs, against = weights;
  double mean = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    double scale = std::exp2(double(i % 4));
    moved[i] *= scale;
    against[i] /= scale;
    mean += i < 5 ? std::log(scale) / 5 : 0;
  }
  std::vector<float> again = channelFactors(moved, against);
  // Weights end up the same, up to a common factor.
  for (size_t i = 0; i < 5; ++i)
    EXPECT_NEAR(against[i] * again[i],
                weights[i] * factors[i] * std::exp(-mean) * std::exp(mean) *
                    (against[0] * again[0]) / (weights[0] * factors[0]),
                1e-5);
}

/// A model whose linears are quantized, and its copy in f32.
struct Models {
  MLIRContext context;
  Checkpoint checkpoint;
  OwningOpRef<ModuleOp> plain, quantized;

  explicit Models(const std::string &name)
      : checkpoint(llvm::cantFail(
            Checkpoint::open(LFMC_TEST_DATA "/checkpoints/" + name))) {
    plain = importLfm2(context, checkpoint, {});
    run(*plain, [](OpPassManager &p) { buildGraphPipeline(p); });
    quantized = plain->clone();
    run(*quantized, [](OpPassManager &p) { buildQuantization(p, {"q8"}); });
  }

  static void run(ModuleOp module,
                  llvm::function_ref<void(OpPassManager &)> add) {
    PassManager passes(module.getContext());
    add(passes);
    ASSERT_TRUE(succeeded(passes.run(module)));
  }

  /// Hidden rows of the f32 model, its weights times the quantized one's
  /// factors.
  std::vector<float> hidden() {
    auto read = [&](lfm2::WeightOp weight,
                    llvm::MutableArrayRef<float> to) -> llvm::Error {
      auto scaled =
          quantized->lookupSymbol<lfm2::WeightOp>(weight.getSymName());
      if (llvm::Error error = readCheckpointWeight(checkpoint, weight, to))
        return error;
      auto rows = lfm2::rowFactors(scaled),
           across = lfm2::columnFactors(scaled);
      auto type = cast<RankedTensorType>(weight.getType());
      int64_t columns = type.getRank() == 2 ? type.getDimSize(1) : 1;
      for (size_t i = 0; i < to.size(); ++i)
        to[i] *= (rows.empty() ? 1 : rows[i / columns]) *
                 (across.empty() ? 1 : across[i % columns]);
      return llvm::Error::success();
    };
    auto model = llvm::cantFail(ReferenceModel::create(*plain, read));
    return llvm::cantFail(model->prefill({1, 17, 5, 42, 300, 7, 99}))
        .toFloats();
  }
};

class Channels : public testing::TestWithParam<const char *> {};

TEST_P(Channels, AreAllFoundAndFree) {
  Models models(GetParam());
  std::vector<ScalableChannels> all = findScalableChannels(*models.quantized);
  // Two norms and two products a layer.
  EXPECT_EQ(int64_t(all.size()), 4 * models.checkpoint.config().numLayers);
  std::vector<float> before = models.hidden();
  unsigned seed = 1;
  for (const ScalableChannels &channels : all) {
    std::vector<float> factors = normalValues(channels.channels, seed++);
    for (float &factor : factors)
      factor = std::exp(factor);
    scaleChannels(channels, factors);
  }
  ASSERT_TRUE(succeeded(models.quantized->verify()));
  std::vector<float> after = models.hidden();
  ASSERT_EQ(before.size(), after.size());
  double size = 0, worst = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    size = std::max(size, std::fabs(double(before[i])));
    worst = std::max(worst, std::fabs(double(before[i]) - after[i]));
  }
  EXPECT_GT(size, 0.1);
  EXPECT_LE(worst, 1e-5 * std::max(1.0, size));
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Channels,
                         testing::Values("dense-a-bf16", "dense-b-f32"));

TEST(EqualizeChannels, LeavesAloneWhatItDoesNotKnow) {
  Models models("dense-b-f32");
  // A weight of another model, and one of another width.
  auto calibration =
      llvm::cantFail(Calibration::create({{"x", 128}, {"l0.w2", 96}}));
  EXPECT_EQ(llvm::cantFail(equalizeChannels(*models.quantized,
                                            models.checkpoint, *calibration)),
            0);
}

} // namespace
