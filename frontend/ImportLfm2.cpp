// SPDX-License-Identifier: Apache-2.0
#include "frontend/ImportLfm2.h"

#include "frontend/ImportSymbols.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Verifier.h"

#include <fmt/format.h>

#include <cmath>

using namespace mlir;
using namespace lfmc::lfm2;

namespace lfmc {
namespace {

/// Writes one function of a model.
class FunctionBuilder {
public:
  FunctionBuilder(ModuleOp module, const ModelConfig &config,
                  const ImportSymbols &symbols, llvm::StringRef name,
                  int64_t maxTokens, int64_t staticTokens)
      : config(config), symbols(symbols), name(name), maxTokens(maxTokens),
        tokens(staticTokens), builder(OpBuilder::atBlockEnd(module.getBody())) {
  }

  /// @decode and @prefill: token ids to the last hidden rows or to logits.
  void step(bool logits) {
    std::vector<Type> inputs{
        RankedTensorType::get({tokens}, builder.getI32Type()),
        builder.getIndexType()};
    std::vector<Type> outputs{
        rowsType(logits ? config.vocabSize : config.hiddenSize)};
    for (const ImportSymbols::State &state : symbols.states()) {
      inputs.push_back(state.type);
      outputs.push_back(state.type);
    }
    func::FuncOp function = begin(inputs, outputs);
    for (auto [index, state] : llvm::enumerate(symbols.states())) {
      auto symbol = FlatSymbolRefAttr::get(builder.getContext(), state.symbol);
      function.setArgAttr(2 + index, "lfm2.state", symbol);
      function.setResultAttr(1 + index, "lfm2.state", symbol);
      stateValues[state.symbol] = function.getArgument(2 + index);
    }
    pos = function.getArgument(1);
    numTokens(function.getArgument(0));

    Value table = param("embed");
    Value x = EmbedOp::create(builder, loc, rowsType(config.hiddenSize),
                              function.getArgument(0), table);
    for (int64_t i = 0; i < config.numLayers; ++i)
      x = layer(i, x);
    x = norm(x, "final_norm");
    std::vector<Value> results{logits ? head(x) : x};
    for (const ImportSymbols::State &state : symbols.states())
      results.push_back(stateValues.lookup(state.symbol));
    end(results);
  }

  /// @head: hidden rows after the final norm to logits.
  void headOnly() {
    func::FuncOp function =
        begin({rowsType(config.hiddenSize)}, {rowsType(config.vocabSize)});
    end(head(function.getArgument(0)));
  }

private:
  func::FuncOp begin(llvm::ArrayRef<Type> inputs,
                     llvm::ArrayRef<Type> outputs) {
    loc = NameLoc::get(builder.getStringAttr(name));
    auto function = func::FuncOp::create(
        builder, loc, name, builder.getFunctionType(inputs, outputs));
    function->setAttr("lfm2.max_tokens", builder.getI64IntegerAttr(maxTokens));
    builder.setInsertionPointToStart(function.addEntryBlock());
    return function;
  }

  void end(ValueRange results) {
    loc = NameLoc::get(builder.getStringAttr(name));
    func::ReturnOp::create(builder, loc, results);
  }

  RankedTensorType rowsType(int64_t width) {
    return RankedTensorType::get({tokens, width}, builder.getF32Type());
  }

  void numTokens(Value tokenIds) {
    if (!ShapedType::isDynamic(tokens)) {
      rowCount = builder.getIndexAttr(tokens);
      return;
    }
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    rowCount = tensor::DimOp::create(builder, loc, tokenIds, zero).getResult();
  }

  /// The weight `symbol`; from here on operations carry its location.
  Value param(llvm::StringRef symbol) {
    loc = symbols.weightLoc(symbol);
    return ParamOp::create(builder, loc, symbols.weightType(symbol), symbol);
  }

  Value norm(Value x, llvm::StringRef symbol) {
    Value weight = param(symbol);
    return RmsNormOp::create(builder, loc, x.getType(), x, weight,
                             builder.getF64FloatAttr(config.normEps));
  }

  Value linear(Value x, llvm::StringRef symbol,
               llvm::StringRef biasSymbol = {}) {
    Value bias = biasSymbol.empty() ? Value() : param(biasSymbol);
    Value weight = param(symbol);
    int64_t rows = symbols.weightType(symbol).getDimSize(0);
    return LinearOp::create(builder, loc, rowsType(rows), x, weight, bias,
                            /*norm=*/Value(), /*residual=*/Value(),
                            /*eps=*/FloatAttr(), Activation::None);
  }

  Value head(Value x) {
    return linear(x, config.tieEmbeddings ? "embed" : "lm_head");
  }

  /// Columns [first, first + width) of x.
  Value columns(Value x, int64_t first, int64_t width) {
    OpFoldResult one = builder.getIndexAttr(1), zero = builder.getIndexAttr(0);
    return tensor::ExtractSliceOp::create(
        builder, loc, rowsType(width), x,
        llvm::ArrayRef<OpFoldResult>{zero, builder.getIndexAttr(first)},
        llvm::ArrayRef<OpFoldResult>{rowCount, builder.getIndexAttr(width)},
        llvm::ArrayRef<OpFoldResult>{one, one});
  }

  Value layer(int64_t i, Value x) {
    auto symbol = [i](const char *name) { return layerSymbol(i, name); };
    auto at = [&](const char *part) {
      loc = NameLoc::get(
          builder.getStringAttr(fmt::format("model.layers.{}{}", i, part)));
    };
    bool isConv = config.layerTypes[i] == LayerType::Conv;
    Value n = norm(x, symbol("operator_norm"));
    Value mixed = isConv ? shortConv(i, n) : attention(i, n);
    at("");
    x = arith::AddFOp::create(builder, loc, x, mixed);

    n = norm(x, symbol("ffn_norm"));
    Value down;
    if (config.hasExperts(i)) {
      down = experts(i, n);
    } else {
      Value gate = linear(n, symbol("w1")), up = linear(n, symbol("w3"));
      at(".feed_forward");
      Value hidden = SwigluOp::create(builder, loc, gate.getType(), gate, up);
      down = linear(hidden, symbol("w2"));
    }
    at("");
    return arith::AddFOp::create(builder, loc, x, down);
  }

  Value experts(int64_t i, Value n) {
    auto symbol = [i](const char *name) { return layerSymbol(i, name); };
    int64_t topK = config.expertsPerToken;
    Value logits = linear(n, symbol("router"));
    Value bias = config.expertBias ? param(symbol("expert_bias")) : Value();
    auto choice = RankedTensorType::get({tokens, topK}, builder.getI32Type());
    auto route = RouteOp::create(builder, loc, choice, rowsType(topK), logits,
                                 bias, builder.getI64IntegerAttr(topK),
                                 config.normalizeExperts ? builder.getUnitAttr()
                                                         : UnitAttr(),
                                 builder.getF64FloatAttr(config.expertScaling));
    int64_t count = config.numExperts;
    Value weight = param(symbol("experts_w13"));
    Value hidden =
        ExpertsOp::create(builder, loc, rowsType(topK * config.expertWidth), n,
                          weight, route.getExperts(), route.getWeights(),
                          /*residual=*/Value(), count, Activation::Swiglu);
    weight = param(symbol("experts_w2"));
    return ExpertsOp::create(builder, loc, rowsType(config.hiddenSize), hidden,
                             weight, route.getExperts(), /*scales=*/Value(),
                             /*residual=*/Value(), count, Activation::None);
  }

  Value shortConv(int64_t i, Value n) {
    auto symbol = [i](const char *name) { return layerSymbol(i, name); };
    auto biasSymbol = [&](const char *name) {
      return config.convBias ? symbol(name) : std::string();
    };
    int64_t h = config.hiddenSize;
    Value bcx = linear(n, symbol("in_proj"), biasSymbol("in_proj_bias"));
    Value b = columns(bcx, 0, h), c = columns(bcx, h, h);
    Value z = arith::MulFOp::create(builder, loc, b, columns(bcx, 2 * h, h));
    Value bias = config.convBias ? param(symbol("conv_bias")) : Value();
    Value taps = param(symbol("conv_taps"));
    Value &state = stateValues[symbol("conv")];
    auto conv = ShortConvOp::create(builder, loc, z.getType(), state.getType(),
                                    z, taps, state, bias, /*pre=*/Value(),
                                    /*post=*/Value());
    state = conv.getNewState();
    Value gated = arith::MulFOp::create(builder, loc, c, conv.getResult());
    return linear(gated, symbol("out_proj"), biasSymbol("out_proj_bias"));
  }

  Value attention(int64_t i, Value n) {
    auto symbol = [i](const char *name) { return layerSymbol(i, name); };
    int64_t d = config.headDim;
    auto rope = RopeAttr::get(builder.getContext(),
                              builder.getF64FloatAttr(config.ropeTheta), d,
                              /*interleaved=*/false);
    auto headDim = builder.getI64IntegerAttr(d);
    Value q = linear(n, symbol("q_proj")), k = linear(n, symbol("k_proj"));
    Value v = linear(n, symbol("v_proj"));
    auto rotate = [&](Value heads, const char *normName) -> Value {
      heads = norm(heads, symbol(normName));
      return RopeOp::create(builder, loc, heads.getType(), heads, pos, headDim,
                            rope);
    };
    q = rotate(q, "q_norm");
    k = rotate(k, "k_norm");
    loc = NameLoc::get(
        builder.getStringAttr(fmt::format("model.layers.{}.self_attn", i)));
    Value &kCache = stateValues[symbol("k")];
    kCache =
        CacheWriteOp::create(builder, loc, kCache.getType(), k, kCache, pos);
    Value &vCache = stateValues[symbol("v")];
    vCache =
        CacheWriteOp::create(builder, loc, vCache.getType(), v, vCache, pos);
    Value mixed =
        AttentionOp::create(builder, loc, q.getType(), q, kCache, vCache, pos,
                            builder.getF64FloatAttr(1 / std::sqrt(double(d))),
                            /*window=*/IntegerAttr());
    return linear(mixed, symbol("out_proj"));
  }

  const ModelConfig &config;
  const ImportSymbols &symbols;
  std::string name;
  int64_t maxTokens, tokens; // tokens: static count, or kDynamic
  OpBuilder builder;
  Location loc = builder.getUnknownLoc();
  Value pos;
  OpFoldResult rowCount;
  llvm::StringMap<Value> stateValues;
};

OwningOpRef<ModuleOp> import(MLIRContext &context, const ModelConfig &config,
                             KindOf kindOf, const ImportOptions &options) {
  context.loadDialect<Lfm2Dialect, arith::ArithDialect, func::FuncDialect,
                      tensor::TensorDialect>();
  Location unknown = UnknownLoc::get(&context);
  if (options.maxContext < 1 ||
      options.maxContext > config.maxPositionEmbeddings) {
    emitError(unknown) << "a context of " << options.maxContext
                       << " tokens, expected 1 to "
                       << config.maxPositionEmbeddings
                       << " (max_position_embeddings)";
    return {};
  }
  if (options.maxPrefill < 1 || options.maxPrefill > options.maxContext) {
    emitError(unknown) << "prefill steps of " << options.maxPrefill
                       << " tokens, expected 1 to " << options.maxContext
                       << " (the context)";
    return {};
  }
  if (config.ffnWidth < 1 && !config.hasExperts(0)) {
    emitError(unknown) << "the config names no feed-forward width";
    return {};
  }
  OwningOpRef<ModuleOp> module = ModuleOp::create(unknown);
  ImportSymbols symbols(*module, config, kindOf, options);
  constexpr int64_t dynamic = ShapedType::kDynamic;
  FunctionBuilder(*module, config, symbols, "decode", 1, 1).step(true);
  FunctionBuilder(*module, config, symbols, "prefill", options.maxPrefill,
                  dynamic)
      .step(false);
  FunctionBuilder(*module, config, symbols, "head", options.maxPrefill, dynamic)
      .headOnly();
  if (failed(verify(*module)))
    return {};
  return module;
}

} // namespace

StoredKind nearestKind(DType type) {
  switch (type) {
  case DType::BF16:
    return StoredKind::BF16;
  case DType::F16:
    return StoredKind::F16;
  case DType::Q4_0:
    return StoredKind::Q4;
  case DType::Q4_1:
  case DType::Q4_K:
    return StoredKind::Q4M;
  case DType::Q5_0:
    return StoredKind::Q6;
  case DType::Q8_0:
  case DType::Q5_K:
  case DType::Q6_K:
    return StoredKind::Q8;
  default:
    return StoredKind::F32;
  }
}

// The kind that loses nothing of either.
static StoredKind wider(StoredKind a, StoredKind b) {
  constexpr StoredKind narrowToWide[] = {
      StoredKind::Q4,  StoredKind::Q4M,  StoredKind::Q6, StoredKind::Q8,
      StoredKind::F16, StoredKind::BF16, StoredKind::F32};
  if (a != b && a != StoredKind::F32 && b != StoredKind::F32 &&
      a < StoredKind::Q8 && b < StoredKind::Q8)
    return StoredKind::F32; // bf16 and f16
  return llvm::find(narrowToWide, a) < llvm::find(narrowToWide, b) ? b : a;
}

// Linears that read the same rows become one matrix (lfmc-stack-linears) if
// their kinds agree.
static llvm::ArrayRef<llvm::StringLiteral> stackOf(llvm::StringRef tensor) {
  static constexpr llvm::StringLiteral attention[] = {
      "self_attn.q_proj.weight", "self_attn.k_proj.weight",
      "self_attn.v_proj.weight"};
  static constexpr llvm::StringLiteral gate[] = {"feed_forward.w1.weight",
                                                 "feed_forward.w3.weight"};
  auto isOne = [&](llvm::StringRef name) { return tensor.ends_with(name); };
  if (llvm::any_of(attention, isOne))
    return attention;
  if (llvm::any_of(gate, isOne))
    return gate;
  return {};
}

OwningOpRef<ModuleOp> importLfm2(MLIRContext &context,
                                 const Checkpoint &checkpoint,
                                 const ImportOptions &options) {
  auto kindOf = [&](llvm::ArrayRef<std::string> tensors) {
    auto kindOfOne = [&](const std::string &name) {
      return nearestKind(checkpoint.find(name)->dtype);
    };
    StoredKind kind = kindOfOne(tensors.front());
    for (const std::string &other : tensors.drop_front())
      kind = wider(kind, kindOfOne(other));
    llvm::StringRef tensor = tensors.front();
    llvm::ArrayRef<llvm::StringLiteral> stack = stackOf(tensor);
    for (llvm::StringRef member : stack)
      if (tensor.consume_back(member))
        for (llvm::StringRef other : stack)
          kind = wider(kind, kindOfOne((tensor + other).str()));
    return kind;
  };
  return import(context, checkpoint.config(), kindOf, options);
}

OwningOpRef<ModuleOp> importLfm2(MLIRContext &context,
                                 const ModelConfig &config, StoredKind kind,
                                 const ImportOptions &options) {
  return import(
      context, config, [kind](llvm::ArrayRef<std::string>) { return kind; },
      options);
}

} // namespace lfmc
