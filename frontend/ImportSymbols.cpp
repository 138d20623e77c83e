// SPDX-License-Identifier: Apache-2.0
#include "frontend/ImportSymbols.h"

#include "frontend/Experts.h"

using namespace mlir;
using namespace lfmc::lfm2;

namespace lfmc {

std::string layerSymbol(int64_t layer, llvm::StringRef name) {
  return fmt::format("l{}.{}", layer, std::string_view(name));
}

ImportSymbols::ImportSymbols(ModuleOp module, const ModelConfig &config,
                             KindOf kindOf, const ImportOptions &options)
    : config(config), options(options), kindOf(kindOf),
      builder(OpBuilder::atBlockEnd(module.getBody())) {
  declareWeights();
  declareStates();
}

void ImportSymbols::stack(std::string symbol,
                          llvm::ArrayRef<std::string> tensors, int64_t rows,
                          int64_t columns) {
  StoredKind kind = options.weights ? *options.weights : kindOf(tensors);
  weight(std::move(symbol), tensors, {rows, columns}, kind);
}

void ImportSymbols::small(std::string symbol, std::string tensor,
                          llvm::ArrayRef<int64_t> shape) {
  weight(std::move(symbol), tensor, shape, StoredKind::F32);
}

void ImportSymbols::weight(std::string symbol,
                           llvm::ArrayRef<std::string> tensors,
                           llvm::ArrayRef<int64_t> shape, StoredKind kind) {
  MLIRContext *context = builder.getContext();
  constexpr int64_t block = 32; // of GGUF's types
  auto encoding = StoredAttr::get(
      context, kind, kind >= StoredKind::Q8 ? block : 0, PanelsAttr());
  auto type = RankedTensorType::get(shape, builder.getF32Type(), encoding);
  Location loc = NameLoc::get(builder.getStringAttr(tensors.front()));
  llvm::SmallVector<StringAttr> names;
  for (const std::string &tensor : tensors)
    names.push_back(builder.getStringAttr(tensor));
  auto source = SourceAttr::get(context, names);
  WeightOp::create(builder, loc, builder.getStringAttr(symbol),
                   TypeAttr::get(type), source, /*offset=*/IntegerAttr(),
                   /*sym_visibility=*/StringAttr());
  types[symbol] = type;
  locs.try_emplace(symbol, loc);
}

void ImportSymbols::declareWeights() {
  int64_t h = config.hiddenSize;
  matrix("embed", "model.embed_tokens.weight", config.vocabSize, h);
  for (int64_t i = 0; i < config.numLayers; ++i)
    declareLayer(i);
  small("final_norm", "model.embedding_norm.weight", {h});
  if (!config.tieEmbeddings)
    matrix("lm_head", "lm_head.weight", config.vocabSize, h);
}

void ImportSymbols::declareLayer(int64_t i) {
  int64_t h = config.hiddenSize, f = config.ffnWidth, d = config.headDim;
  int64_t q = config.numHeads * d, kv = config.numKvHeads * d;
  std::string base = fmt::format("model.layers.{}.", i);
  auto symbol = [i](const char *name) { return layerSymbol(i, name); };
  small(symbol("operator_norm"), base + "operator_norm.weight", {h});
  if (config.layerTypes[i] == LayerType::Conv) {
    matrix(symbol("in_proj"), base + "conv.in_proj.weight", 3 * h, h);
    small(symbol("conv_taps"), base + "conv.conv.weight", {h, config.convTaps});
    matrix(symbol("out_proj"), base + "conv.out_proj.weight", h, h);
    if (config.convBias) {
      small(symbol("in_proj_bias"), base + "conv.in_proj.bias", {3 * h});
      small(symbol("conv_bias"), base + "conv.conv.bias", {h});
      small(symbol("out_proj_bias"), base + "conv.out_proj.bias", {h});
    }
  } else {
    base += "self_attn.";
    matrix(symbol("q_proj"), base + "q_proj.weight", q, h);
    matrix(symbol("k_proj"), base + "k_proj.weight", kv, h);
    matrix(symbol("v_proj"), base + "v_proj.weight", kv, h);
    small(symbol("q_norm"), base + "q_layernorm.weight", {d});
    small(symbol("k_norm"), base + "k_layernorm.weight", {d});
    matrix(symbol("out_proj"), base + "out_proj.weight", h, q);
  }
  base = fmt::format("model.layers.{}.", i);
  small(symbol("ffn_norm"), base + "ffn_norm.weight", {h});
  if (config.hasExperts(i))
    return declareExperts(i);
  matrix(symbol("w1"), base + "feed_forward.w1.weight", f, h);
  matrix(symbol("w3"), base + "feed_forward.w3.weight", f, h);
  matrix(symbol("w2"), base + "feed_forward.w2.weight", h, f);
}

/// All experts of a layer are two weights: gates and up projections, and down
/// projections. The router decides between experts that may be close: f32.
void ImportSymbols::declareExperts(int64_t i) {
  int64_t experts = config.numExperts, h = config.hiddenSize;
  std::string base = fmt::format("model.layers.{}.feed_forward.", i);
  small(layerSymbol(i, "router"), base + "gate.weight", {experts, h});
  if (config.expertBias)
    small(layerSymbol(i, "expert_bias"), base + "expert_bias", {experts});
  std::vector<std::string> up, down;
  for (const char *name : {"w1", "w3"})
    for (int64_t e = 0; e < experts; ++e)
      up.push_back(expertTensor(i, e, name));
  for (int64_t e = 0; e < experts; ++e)
    down.push_back(expertTensor(i, e, "w2"));
  stack(layerSymbol(i, "experts_w13"), up, 2 * experts * config.expertWidth, h);
  stack(layerSymbol(i, "experts_w2"), down, experts * h, config.expertWidth);
}

void ImportSymbols::declareStates() {
  Type f32 = builder.getF32Type();
  Type cacheElement =
      options.cache == StoredKind::F16 ? Type(builder.getF16Type()) : f32;
  Attribute encoding;
  if (options.cache == StoredKind::Q8)
    encoding = QuantizedCacheAttr::get(builder.getContext(), cacheBlock);
  auto conv =
      RankedTensorType::get({config.convTaps - 1, config.hiddenSize}, f32);
  auto cache = RankedTensorType::get(
      {cachePositions(options), config.numKvHeads, config.headDim},
      cacheElement, encoding);
  for (int64_t i = 0; i < config.numLayers; ++i) {
    if (config.layerTypes[i] == LayerType::Conv) {
      state(i, "conv", conv, false);
    } else {
      state(i, "k", cache, true);
      state(i, "v", cache, true);
    }
  }
}

void ImportSymbols::state(int64_t layer, llvm::StringRef name,
                          RankedTensorType type, bool perToken) {
  std::string symbol = layerSymbol(layer, name);
  Location loc = NameLoc::get(
      builder.getStringAttr(fmt::format("model.layers.{}", layer)));
  StateOp::create(builder, loc, builder.getStringAttr(symbol),
                  perToken ? builder.getUnitAttr() : UnitAttr(),
                  TypeAttr::get(type), CacheLayoutAttr(),
                  /*offset=*/IntegerAttr(),
                  /*sym_visibility=*/StringAttr());
  stateList.push_back({std::move(symbol), type});
}

} // namespace lfmc
