// SPDX-License-Identifier: Apache-2.0
#include "frontend/ImportLfm2.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <map>

using namespace lfmc;
using namespace mlir;

namespace {

const std::string dataDir = LFMC_TEST_DATA "/checkpoints/";

Checkpoint openGood(const std::string &name) {
  auto checkpoint = Checkpoint::open(dataDir + name);
  if (!checkpoint) {
    ADD_FAILURE() << llvm::toString(checkpoint.takeError());
    std::abort();
  }
  return std::move(*checkpoint);
}

std::map<std::string, int> countOps(Operation *root) {
  std::map<std::string, int> counts;
  root->walk(
      [&](Operation *op) { ++counts[op->getName().getStringRef().str()]; });
  return counts;
}

std::string text(ModuleOp module) {
  std::string out;
  llvm::raw_string_ostream stream(out);
  module.print(stream, OpPrintingFlags().enableDebugInfo());
  return out;
}

class Variants : public testing::TestWithParam<const char *> {};

TEST_P(Variants, ModuleIsCompleteAndParsesAgain) {
  Checkpoint checkpoint = openGood(GetParam());
  const ModelConfig &config = checkpoint.config();
  MLIRContext context;
  ImportOptions options;
  options.maxContext = 128;
  options.maxPrefill = 16;
  OwningOpRef<ModuleOp> module = importLfm2(context, checkpoint, options);
  ASSERT_TRUE(module);
  int64_t attention = config.numAttentionLayers(),
          conv = config.numConvLayers();

  auto all = countOps(*module);
  EXPECT_EQ(all["lfm2.weight"], config.tensorCount());
  EXPECT_EQ(all["lfm2.state"], 2 * attention + conv);
  for (const char *name : {"decode", "prefill"}) {
    auto function = module->lookupSymbol<func::FuncOp>(name);
    ASSERT_TRUE(function) << name;
    auto ops = countOps(function);
    int linears = name == std::string("decode") ? 1 : 0;
    EXPECT_EQ(ops["lfm2.embed"], 1);
    EXPECT_EQ(ops["lfm2.attention"], attention);
    EXPECT_EQ(ops["lfm2.short_conv"], conv);
    EXPECT_EQ(ops["lfm2.rope"], 2 * attention);
    EXPECT_EQ(ops["lfm2.cache_write"], 2 * attention);
    EXPECT_EQ(ops["lfm2.swiglu"], config.numLayers);
    EXPECT_EQ(ops["lfm2.rms_norm"], 2 * config.numLayers + 2 * attention + 1);
    EXPECT_EQ(ops["lfm2.linear"],
              linears + 4 * attention + 2 * conv + 3 * config.numLayers);
    EXPECT_EQ(ops["arith.addf"], 2 * config.numLayers);
    // State i comes in as argument 2 + i and leaves as result 1 + i.
    auto type = function.getFunctionType();
    ASSERT_EQ(type.getNumInputs(), 2 + 2 * attention + conv);
    ASSERT_EQ(type.getNumResults(), 1 + 2 * attention + conv);
    for (unsigned i = 0; i + 2 < type.getNumInputs(); ++i) {
      auto in =
          function.getArgAttrOfType<FlatSymbolRefAttr>(2 + i, "lfm2.state");
      ASSERT_TRUE(in);
      EXPECT_EQ(in, function.getResultAttr(1 + i, "lfm2.state"));
      EXPECT_EQ(type.getInput(2 + i), type.getResult(1 + i));
      auto state = module->lookupSymbol<lfm2::StateOp>(in.getValue());
      ASSERT_TRUE(state);
      EXPECT_EQ(state.getType(), type.getInput(2 + i));
    }
  }
  EXPECT_EQ(countOps(module->lookupSymbol<func::FuncOp>("head"))["lfm2.linear"],
            1);

  // Every source is a tensor of the checkpoint with as many elements.
  for (auto weight : module->getOps<lfm2::WeightOp>()) {
    auto source = cast<lfm2::SourceAttr>(weight.getSource());
    ASSERT_EQ(source.getTensors().size(), 1u);
    const TensorInfo *info = checkpoint.find(source.getTensors()[0].getValue());
    ASSERT_TRUE(info) << source.getTensors()[0].str();
    EXPECT_EQ(cast<RankedTensorType>(weight.getType()).getNumElements(),
              info->numElements());
    auto loc = dyn_cast<NameLoc>(weight.getLoc());
    ASSERT_TRUE(loc);
    EXPECT_EQ(loc.getName(), source.getTensors()[0]);
  }
  OwningOpRef<ModuleOp> again =
      parseSourceString<ModuleOp>(text(*module), &context);
  ASSERT_TRUE(again);
  EXPECT_EQ(text(*again), text(*module));
}

INSTANTIATE_TEST_SUITE_P(Dense, Variants,
                         testing::Values("dense-a-bf16", "dense-b-bf16",
                                         "dense-b-f32", "dense-b-bf16-sharded",
                                         "dense-b-bf16-legacycfg"));

TEST(Import, ShardsAndOldConfigGiveTheSameModule) {
  MLIRContext context;
  std::string plain = text(*importLfm2(context, openGood("dense-b-bf16"), {}));
  for (const char *name : {"dense-b-bf16-sharded", "dense-b-bf16-legacycfg"})
    EXPECT_EQ(plain, text(*importLfm2(context, openGood(name), {}))) << name;
}

TEST(Import, WeightOptionChangesMatricesOnly) {
  MLIRContext context;
  ImportOptions options;
  options.weights = lfm2::StoredKind::F16;
  auto module = importLfm2(context, openGood("dense-b-bf16"), options);
  ASSERT_TRUE(module);
  for (auto weight : module->getOps<lfm2::WeightOp>()) {
    auto type = cast<RankedTensorType>(weight.getType());
    auto stored = cast<lfm2::StoredAttr>(type.getEncoding());
    bool matrix =
        type.getRank() == 2 && !weight.getSymName().ends_with(".conv_taps");
    EXPECT_EQ(stored.getKind(),
              matrix ? lfm2::StoredKind::F16 : lfm2::StoredKind::F32)
        << weight.getSymName().str();
  }
}

ModelConfig smallConfig() {
  ModelConfig config;
  config.vocabSize = 96;
  config.hiddenSize = 32;
  config.numLayers = 2;
  config.layerTypes = {LayerType::Conv, LayerType::FullAttention};
  config.numHeads = 4;
  config.numKvHeads = 2;
  config.headDim = 16; // 4 * 16 differs from hidden_size on purpose
  config.ffnWidth = 48;
  config.convTaps = 4;
  config.convBias = true;
  config.ropeTheta = 5e6;
  config.tieEmbeddings = false;
  return config;
}

TEST(Import, BiasesUntiedHeadAndOddSizes) {
  MLIRContext context;
  ImportOptions options;
  options.maxContext = 64;
  options.maxPrefill = 8;
  options.cache = lfm2::StoredKind::F16;
  auto module =
      importLfm2(context, smallConfig(), lfm2::StoredKind::F32, options);
  ASSERT_TRUE(module);
  std::string ir = text(*module);
  for (const char *piece :
       {"lfm2.weight @lm_head : tensor<96x32xf32, #lfm2.stored<f32>>",
        "lfm2.weight @l0.conv_taps : tensor<32x4xf32",
        "lfm2.weight @l1.q_proj : tensor<64x32xf32",
        "lfm2.weight @l1.out_proj : tensor<32x64xf32",
        "lfm2.state @l0.conv : tensor<3x32xf32>",
        "lfm2.state @l1.k per_token : tensor<64x2x16xf16>",
        "theta = 5.000000e+06", "scale 2.500000e-01"})
    EXPECT_NE(ir.find(piece), std::string::npos) << piece << "\n" << ir;
  auto decode = countOps(module->lookupSymbol<func::FuncOp>("decode"));
  EXPECT_EQ(countOps(*module)["lfm2.weight"], smallConfig().tensorCount());
  int biases = 0;
  module->walk([&](lfm2::LinearOp op) { biases += op.getBias() != nullptr; });
  EXPECT_EQ(biases, 4); // in_proj and out_proj, in @decode and @prefill
  module->walk([&](lfm2::ShortConvOp op) { EXPECT_TRUE(op.getBias()); });
}

TEST(Import, OptionsOutOfRangeAreDiagnosed) {
  struct Case {
    int64_t context, prefill;
    const char *message;
  };
  for (Case c : {Case{0, 1, "a context of 0 tokens, expected 1 to 128000"},
                 Case{128001, 1, "a context of 128001 tokens"},
                 Case{64, 0, "prefill steps of 0 tokens, expected 1 to 64"},
                 Case{64, 65, "prefill steps of 65 tokens"}}) {
    MLIRContext context;
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      message += diagnostic.str();
      return success();
    });
    ImportOptions options;
    options.maxContext = c.context;
    options.maxPrefill = c.prefill;
    EXPECT_FALSE(
        importLfm2(context, smallConfig(), lfm2::StoredKind::F32, options));
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
  }
}

} // namespace
