// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Manifest.h"

#include "dialects/kernel/Kernel.h"
#include "dialects/lfm2/Lfm2.h"
#include "dialects/lfm2/Storage.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

using namespace llvm;

namespace lfmc {

Json modelJson(const ModelConfig &config) {
  Json layers = Json::array();
  for (LayerType type : config.layerTypes)
    layers.push_back(layerTypeName(type).str());
  return {{"type", "lfm2"},
          {"parameters", config.parameterCount()},
          {"vocab_size", config.vocabSize},
          {"hidden_size", config.hiddenSize},
          {"layers", config.numLayers},
          {"attention_layers", config.numAttentionLayers()},
          {"conv_layers", config.numConvLayers()},
          {"layer_types", layers},
          {"heads", config.numHeads},
          {"kv_heads", config.numKvHeads},
          {"head_dim", config.headDim},
          {"ffn_width", config.ffnWidth},
          {"experts", config.numExperts},
          {"experts_per_token", config.expertsPerToken},
          {"expert_width", config.expertWidth},
          {"conv_taps", config.convTaps},
          {"conv_bias", config.convBias},
          {"norm_eps", config.normEps},
          {"rope_theta", config.ropeTheta},
          {"tied_embeddings", config.tieEmbeddings},
          {"trained_context", config.maxPositionEmbeddings},
          {"bos", config.bos},
          {"pad", config.pad},
          {"eos", config.eos}};
}

int64_t layerOf(StringRef symbol) {
  int64_t layer = -1;
  if (symbol.consume_front("l") && !symbol.consumeInteger(10, layer) &&
      symbol.starts_with("."))
    return layer;
  return -1;
}

std::vector<StateInfo> stateTable(mlir::ModuleOp module) {
  std::vector<StateInfo> table;
  for (auto op : module.getOps<lfm2::StateOp>()) {
    auto type = cast<mlir::RankedTensorType>(op.getType());
    StateInfo state;
    state.name = op.getSymName().str();
    state.offset = op.getOffset().value_or(0);
    state.bytes = lfm2::stateBytes(type);
    if (op.getPerToken())
      state.bytesPerToken = state.bytes / type.getDimSize(0);
    if (lfm2::CacheLayoutAttr layout = op.getLayoutAttr()) {
      state.regions = uint32_t(type.getDimSize(1));
      state.granule = uint32_t(layout.getLanes());
      if (auto quantized =
              dyn_cast_or_null<lfm2::QuantizedCacheAttr>(type.getEncoding()))
        state.granule = uint32_t(quantized.getPositions());
    }
    table.push_back(std::move(state));
  }
  return table;
}

std::vector<ExpertsInfo> expertTable(const ModelConfig &config,
                                     mlir::ModuleOp module) {
  std::vector<ExpertsInfo> table;
  for (int64_t i = 0; i < config.numLayers; ++i) {
    auto find = [&](const char *name) {
      return module.lookupSymbol<lfm2::WeightOp>(
          ("l" + Twine(i) + "." + name).str());
    };
    lfm2::WeightOp up = find("experts_w13"), down = find("experts_w2");
    // Row by row, an expert's gate and up do not lie side by side.
    if (!up || !down || !up.getOffset() || !down.getOffset() ||
        !cast<lfm2::StoredAttr>(
             cast<mlir::RankedTensorType>(up.getType()).getEncoding())
             .getLayout())
      continue;
    uint64_t count = config.numExperts;
    table.push_back(
        {uint64_t(*up.getOffset()), lfm2::weightBytes(up.getType()) / count,
         uint64_t(*down.getOffset()), lfm2::weightBytes(down.getType()) / count,
         i, config.numExperts, config.expertsPerToken});
  }
  return table;
}

namespace {

Json attributeJson(mlir::Attribute attribute) {
  if (auto integer = dyn_cast<mlir::IntegerAttr>(attribute))
    return integer.getValue().getSExtValue();
  if (auto number = dyn_cast<mlir::FloatAttr>(attribute))
    return number.getValueAsDouble();
  if (auto text = dyn_cast<mlir::StringAttr>(attribute))
    return text.getValue().str();
  std::string text;
  raw_string_ostream(text) << attribute;
  return text;
}

// The name in a location: checkpoint tensor or layer.
std::string locationName(mlir::Location location) {
  std::string name;
  location->walk([&](mlir::Location part) {
    if (auto named = dyn_cast<mlir::NameLoc>(part)) {
      name = named.getName().str();
      return mlir::WalkResult::interrupt();
    }
    return mlir::WalkResult::advance();
  });
  return name;
}

Json weightJson(lfm2::WeightOp op) {
  auto type = cast<mlir::RankedTensorType>(op.getType());
  auto stored = cast<lfm2::StoredAttr>(type.getEncoding());
  Json layout = nullptr;
  if (lfm2::PanelsAttr panels = stored.getLayout())
    layout = {{"rows", panels.getRows()},
              {"depth", panels.getDepth()},
              {"halves", panels.getHalves()},
              {"raised", panels.getRaised()}};
  Json sources = Json::array();
  if (auto source = dyn_cast<lfm2::SourceAttr>(op.getSource()))
    for (mlir::StringAttr name : source.getTensors())
      sources.push_back(name.str());
  auto group = op->getAttrOfType<mlir::StringAttr>("lfm2.group");
  return {{"name", op.getSymName().str()},
          {"group", group ? Json(group.str()) : Json(nullptr)},
          {"shape", std::vector<int64_t>(type.getShape())},
          {"format", lfm2::stringifyStoredKind(stored.getKind()).str()},
          {"block", stored.getBlock()},
          {"layout", layout},
          {"offset", op.getOffset().value_or(0)},
          {"bytes", lfm2::weightBytes(type)},
          {"sources", sources}};
}

Json stateJson(const StateInfo &state) {
  return {{"name", state.name},       {"offset", state.offset},
          {"bytes", state.bytes},     {"bytes_per_token", state.bytesPerToken},
          {"regions", state.regions}, {"granule", state.granule}};
}

// Names of weights and states by offset.
struct Places {
  DenseMap<int64_t, StringRef> weights, states;

  explicit Places(mlir::ModuleOp module) {
    for (auto op : module.getOps<lfm2::WeightOp>())
      weights[op.getOffset().value_or(0)] = op.getSymName();
    for (auto op : module.getOps<lfm2::StateOp>())
      states[op.getOffset().value_or(0)] = op.getSymName();
  }

  StringRef name(kernel::Space space, int64_t offset) const {
    if (space == kernel::Space::Weights)
      return weights.lookup(offset);
    if (space == kernel::Space::State)
      return states.lookup(offset);
    return "";
  }
};

// Bytes from the first to behind the last element of a buffer.
int64_t extent(mlir::MemRefType type, int64_t maxTokens) {
  int64_t element = std::max(1u, type.getElementTypeBitWidth() / 8);
  SmallVector<int64_t> strides;
  int64_t offset;
  if (type.getNumElements() == 0 ||
      failed(type.getStridesAndOffset(strides, offset)))
    return 0;
  int64_t last = 0;
  for (auto [size, stride] : zip(type.getShape(), strides)) {
    int64_t count = mlir::ShapedType::isDynamic(size) ? maxTokens : size;
    last += (count - 1) * stride;
  }
  return (last + 1) * element;
}

Json bufferJson(mlir::Value value, int64_t maxTokens, const Places &places,
                bool written) {
  auto buffer = value.getDefiningOp<kernel::BufferOp>();
  if (!buffer)
    return {{"space", "other"}, {"written", written}};
  auto type = cast<mlir::MemRefType>(buffer.getResult().getType());
  // A dynamic size hides the number of elements, not the extent.
  SmallVector<int64_t> shape(type.getShape());
  for (int64_t &size : shape)
    if (mlir::ShapedType::isDynamic(size))
      size = maxTokens;
  auto bounded =
      mlir::MemRefType::get(shape, type.getElementType(), type.getLayout());
  int64_t offset = buffer.getOffset();
  Json json = {{"space", kernel::stringifySpace(buffer.getSpace()).str()},
               {"offset", offset},
               {"bytes", extent(bounded, maxTokens)},
               {"written", written}};
  StringRef name = places.name(buffer.getSpace(), offset);
  if (!name.empty())
    json["name"] = name.str();
  return json;
}

Json callJson(kernel::CallOp call, int64_t maxTokens, const Places &places) {
  Json buffers = Json::array();
  for (mlir::Value input : call.getInputs())
    buffers.push_back(bufferJson(input, maxTokens, places, false));
  for (mlir::Value init : call.getInits())
    buffers.push_back(bufferJson(init, maxTokens, places, true));
  return {{"kernel", call.getCallee().str()},
          {"replicated", call.getReplicated()},
          {"location", locationName(call.getLoc())},
          {"buffers", buffers}};
}

/// Of the experts' weights, what a token reads.
double shareOf(lfm2::ExpertsOp experts) {
  return double(experts.getTopK()) / double(experts.getExperts());
}

int64_t integerAttr(mlir::Operation *op, StringRef name) {
  auto attribute = op->getAttrOfType<mlir::IntegerAttr>(name);
  return attribute ? attribute.getInt() : 0;
}

Json functionJson(mlir::func::FuncOp function, const Places &places,
                  MapVector<StringRef, int64_t> &calls) {
  int64_t maxTokens =
      std::max<int64_t>(1, integerAttr(function, "lfm2.max_tokens"));
  Json phases = Json::array();
  function.walk([&](kernel::PhaseOp phase) {
    Json list = Json::array();
    for (auto call : phase.getBody().front().getOps<kernel::CallOp>()) {
      list.push_back(callJson(call, maxTokens, places));
      ++calls[call.getCallee()];
    }
    phases.push_back(std::move(list));
  });
  return {{"max_tokens", maxTokens},
          {"stack_bytes", integerAttr(function, "kernel.stack_bytes")},
          {"phases", std::move(phases)}};
}

} // namespace

Json programJson(mlir::ModuleOp module) {
  Json weights = Json::array(), states = Json::array(), kernels = Json::array(),
       functions = Json::object();
  for (auto op : module.getOps<lfm2::WeightOp>())
    weights.push_back(weightJson(op));
  for (const StateInfo &state : stateTable(module))
    states.push_back(stateJson(state));
  Places places(module);
  MapVector<StringRef, int64_t> calls;
  for (auto function : module.getOps<mlir::func::FuncOp>())
    if (!function.isPrivate())
      functions[function.getSymName().str()] =
          functionJson(function, places, calls);
  for (auto decl : module.getOps<kernel::DeclOp>()) {
    Json params = Json::object();
    for (mlir::NamedAttribute param : decl.getParams())
      params[param.getName().str()] = attributeJson(param.getValue());
    kernels.push_back({{"name", decl.getSymName().str()},
                       {"generator", decl.getGenerator().str()},
                       {"fallback", decl.getGenerator() == "expand"},
                       {"params", params},
                       {"chunks",
                        {{"fixed", decl.getChunks().getFixed()},
                         {"tokens", decl.getChunks().getTokens()}}},
                       {"calls", calls.lookup(decl.getSymName())}});
  }
  return {{"weights", std::move(weights)},
          {"states", std::move(states)},
          {"kernels", std::move(kernels)},
          {"functions", std::move(functions)}};
}

namespace {

/// What a function computes for each of its tokens.
struct TokenWork {
  int64_t linears = 0; ///< operations of matrices
  int64_t pairs = 0;   ///< of attention, for each position seen

  explicit TokenWork(mlir::Operation *function) {
    if (function)
      function->walk([&](mlir::Operation *op) { add(op); });
  }

private:
  void add(mlir::Operation *op) {
    if (auto linear = dyn_cast<lfm2::LinearOp>(op))
      linears += 2 * cast<mlir::RankedTensorType>(linear.getWeight().getType())
                         .getNumElements();
    if (auto experts = dyn_cast<lfm2::ExpertsOp>(op))
      linears +=
          int64_t(2 * shareOf(experts) *
                  double(experts.getWeight().getType().getNumElements()));
    if (auto attention = dyn_cast<lfm2::AttentionOp>(op))
      pairs += 4 * attention.getQ().getType().getDimSize(1);
  }
};

} // namespace

Json workJson(mlir::ModuleOp module) {
  int64_t decodeBytes = 0;
  DenseSet<StringRef> whole;
  module.lookupSymbol("decode")->walk([&](mlir::Operation *op) {
    auto experts = dyn_cast<lfm2::ExpertsOp>(op);
    const double share = experts ? shareOf(experts) : 1;
    for (mlir::Value operand : op->getOperands())
      if (auto param = operand.getDefiningOp<lfm2::ParamOp>())
        if (!isa<lfm2::EmbedOp>(op) && whole.insert(param.getWeight()).second)
          decodeBytes +=
              int64_t(share * double(lfm2::weightBytes(param.getType())));
  });
  int64_t cacheBytes = 0;
  for (const StateInfo &state : stateTable(module))
    cacheBytes += state.bytesPerToken;
  mlir::Operation *end = module.lookupSymbol("prompt_end");
  const TokenWork all(module.lookupSymbol("prefill")),
      prompt(module.lookupSymbol(end ? "prompt" : "prefill")), last(end),
      head(module.lookupSymbol("head"));
  return {{"decode_weight_bytes", decodeBytes},
          {"decode_cache_bytes_per_position", cacheBytes},
          {"prefill_flops_per_token", all.linears},
          {"prefill_flops_per_pair", all.pairs},
          {"prompt_flops_per_token", prompt.linears},
          {"prompt_flops_per_pair", prompt.pairs},
          {"prompt_end_rows", end ? integerAttr(end, "lfm2.max_tokens") : 0},
          {"prompt_end_flops_per_row", last.linears},
          {"prompt_end_flops_per_pair", last.pairs},
          {"head_flops_per_row", head.linears}};
}

std::string manifestText(const Json &manifest) {
  std::string text = "{";
  const char *separator = "\n";
  for (const auto &[key, value] : manifest.items()) {
    text += separator + std::string("  ") + Json(key).dump() + ": ";
    separator = ",\n";
    bool table = value.is_array() && !value.empty() && value[0].is_object();
    if (!table) {
      text += value.dump();
      continue;
    }
    const char *inner = "[\n";
    for (const Json &row : value) {
      text += inner + std::string("    ") + row.dump();
      inner = ",\n";
    }
    text += "\n  ]";
  }
  return text + "\n}\n";
}

} // namespace lfmc
