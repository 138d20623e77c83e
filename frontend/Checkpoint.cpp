// SPDX-License-Identifier: Apache-2.0
#include "frontend/Checkpoint.h"

#include "frontend/Errors.h"
#include "frontend/Experts.h"
#include "frontend/GgufConfig.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"

using namespace llvm;

namespace lfmc {
namespace {

constexpr StringLiteral prefix = "model.";
constexpr StringLiteral headName = "lm_head.weight";

/// One line per problem, a dozen of each kind.
class Problems {
public:
  void add(std::string line) {
    if (++count <= limit)
      text += (text.empty() ? "" : "\n") + line;
  }
  bool any() const { return count != 0; }
  /// The lines of all, prefixed by nothing; "and N more" where lines were cut.
  std::string lines() const {
    return count <= limit
               ? text
               : fmt::format("{}\nand {} more like this", text, count - limit);
  }

private:
  static constexpr size_t limit = 12;
  size_t count = 0;
  std::string text;
};

std::string layerText(const ModelConfig &config, int64_t layer) {
  if (layer < 0)
    return "";
  return fmt::format(" (layer {}, {})", layer,
                     std::string_view(layerTypeName(config.layerTypes[layer])));
}

} // namespace

std::vector<ExpectedTensor> expectedTensors(const ModelConfig &config) {
  std::vector<ExpectedTensor> result;
  int64_t h = config.hiddenSize, f = config.ffnWidth, d = config.headDim;
  int64_t q = config.numHeads * d, kv = config.numKvHeads * d;
  auto add = [&](std::string name, std::vector<int64_t> shape, int64_t layer) {
    result.push_back({std::move(name), std::move(shape), layer});
  };
  add("model.embed_tokens.weight", {config.vocabSize, h}, -1);
  for (int64_t i = 0; i < config.numLayers; ++i) {
    std::string base = fmt::format("model.layers.{}.", i);
    add(base + "operator_norm.weight", {h}, i);
    if (config.layerTypes[i] == LayerType::Conv) {
      add(base + "conv.in_proj.weight", {3 * h, h}, i);
      add(base + "conv.conv.weight", {h, 1, config.convTaps}, i);
      add(base + "conv.out_proj.weight", {h, h}, i);
      if (config.convBias) {
        add(base + "conv.in_proj.bias", {3 * h}, i);
        add(base + "conv.conv.bias", {h}, i);
        add(base + "conv.out_proj.bias", {h}, i);
      }
    } else {
      add(base + "self_attn.q_proj.weight", {q, h}, i);
      add(base + "self_attn.k_proj.weight", {kv, h}, i);
      add(base + "self_attn.v_proj.weight", {kv, h}, i);
      add(base + "self_attn.q_layernorm.weight", {d}, i);
      add(base + "self_attn.k_layernorm.weight", {d}, i);
      add(base + "self_attn.out_proj.weight", {h, q}, i);
    }
    add(base + "ffn_norm.weight", {h}, i);
    if (!config.hasExperts(i)) {
      add(base + "feed_forward.w1.weight", {f, h}, i);
      add(base + "feed_forward.w3.weight", {f, h}, i);
      add(base + "feed_forward.w2.weight", {h, f}, i);
      continue;
    }
    int64_t width = config.expertWidth;
    add(base + "feed_forward.gate.weight", {config.numExperts, h}, i);
    if (config.expertBias)
      add(base + "feed_forward.expert_bias", {config.numExperts}, i);
    for (int64_t e = 0; e < config.numExperts; ++e) {
      add(expertTensor(i, e, "w1"), {width, h}, i);
      add(expertTensor(i, e, "w3"), {width, h}, i);
      add(expertTensor(i, e, "w2"), {h, width}, i);
    }
  }
  add("model.embedding_norm.weight", {h}, -1);
  if (!config.tieEmbeddings)
    add(headName.str(), {config.vocabSize, h}, -1);
  return result;
}

const TensorInfo *Checkpoint::find(StringRef name) const {
  if (!prefixed)
    name.consume_front(prefix);
  return safeTensors.find(name);
}

ArrayRef<uint8_t> Checkpoint::bytes(StringRef name) const {
  return safeTensors.bytes(*find(name));
}

Error Checkpoint::findPrefix() {
  bool with = safeTensors.find("model.embed_tokens.weight");
  bool without = safeTensors.find("embed_tokens.weight");
  if (with && without)
    return makeError("{} has both 'model.embed_tokens.weight' and "
                     "'embed_tokens.weight'",
                     inQuotes(path));
  if (!with && !without) {
    for (const TensorInfo &info : safeTensors.tensors())
      if (StringRef(info.name).ends_with("embed_tokens.weight"))
        return makeError("{}: no tensor 'model.embed_tokens.weight', but {}: "
                         "not an LFM2 text model",
                         inQuotes(path), inQuotes(info.name));
    return makeError("{}: no tensor 'model.embed_tokens.weight'",
                     inQuotes(path));
  }
  prefixed = with;
  return Error::success();
}

Error Checkpoint::takeFfnWidth() {
  constexpr StringLiteral name = "model.layers.0.feed_forward.w1.weight";
  const TensorInfo *w1 = find(name);
  if (!w1 || modelConfig.hasExperts(
                 0)) // checkTensors names it, for which any width will do.
    return Error::success();
  if (w1->shape.size() != 2 || w1->shape[0] < 1 ||
      w1->shape[1] != modelConfig.hiddenSize)
    return makeError("tensor {} has shape {}, expected [feed-forward width, "
                     "{}]",
                     inQuotes(w1->name), shapeText(w1->shape),
                     modelConfig.hiddenSize);
  int64_t width = w1->shape[0];
  constexpr int64_t maxFfnWidth = 1 << 20;
  if (width > maxFfnWidth)
    return makeError("tensor {} has {} rows, expected at most {}",
                     inQuotes(w1->name), width, maxFfnWidth);
  if (modelConfig.ffnWidth && modelConfig.ffnWidth != width)
    modelConfig.notes.push_back(fmt::format(
        "the feed-forward width is {} by the config, {} by the shape of {}: "
        "the shape counts",
        modelConfig.ffnWidth, width, inQuotes(w1->name)));
  modelConfig.ffnWidth = width;
  return Error::success();
}

Error Checkpoint::checkTensors() {
  Problems missing, wrong, extra;
  StringSet<> known;
  for (const ExpectedTensor &expected : expectedTensors(modelConfig)) {
    std::string layer = layerText(modelConfig, expected.layer);
    const TensorInfo *info = find(expected.name);
    if (!info) {
      StringRef name = expected.name;
      if (!prefixed)
        name.consume_front(prefix);
      missing.add(fmt::format("{}: no tensor {}{}, expected shape {}",
                              inQuotes(path), inQuotes(name), layer,
                              shapeText(expected.shape)));
      continue;
    }
    known.insert(info->name);
    StringRef file = safeTensors.filePath(info->file);
    if (info->shape != expected.shape)
      wrong.add(fmt::format("{}: tensor {}{} has shape {}, expected {}",
                            inQuotes(file), inQuotes(info->name), layer,
                            shapeText(info->shape), shapeText(expected.shape)));
    else if (!isWeightDType(info->dtype))
      wrong.add(
          fmt::format("{}: tensor {}{} has dtype {}, expected F32, F16 or BF16",
                      inQuotes(file), inQuotes(info->name), layer,
                      std::string_view(dtypeName(info->dtype))));
  }
  // Some re-exports keep the tied head's copy.
  if (const TensorInfo *head = find(headName);
      head && modelConfig.tieEmbeddings) {
    known.insert(head->name);
    modelConfig.notes.push_back("lm_head.weight is ignored: the config ties "
                                "the head to the embedding");
  }
  for (const TensorInfo &info : safeTensors.tensors())
    if (!known.contains(info.name))
      extra.add(fmt::format("{}: unexpected tensor {} {}",
                            inQuotes(safeTensors.filePath(info.file)),
                            inQuotes(info.name), shapeText(info.shape)));
  std::string text;
  for (const Problems *problems : {&missing, &wrong, &extra})
    if (problems->any())
      text += (text.empty() ? "" : "\n") + problems->lines();
  return text.empty() ? Error::success() : makeError("{}", text);
}

Expected<Checkpoint> Checkpoint::openDirectory(StringRef directory) {
  if (!sys::fs::is_directory(directory))
    return makeError("{} is not a directory", inQuotes(directory));
  auto config = ModelConfig::read(directory);
  if (!config)
    return config.takeError();
  auto tensors = SafeTensors::open(directory);
  if (!tensors)
    return tensors.takeError();
  Checkpoint result(directory.str(), std::move(*config), std::move(*tensors));
  result.tokenizer = sys::fs::exists(directory + "/tokenizer.json");
  return std::move(result);
}

Expected<Checkpoint> Checkpoint::openGguf(StringRef file) {
  std::unique_ptr<MemoryBuffer> buffer;
  auto header = readGguf(file, &buffer);
  if (!header)
    return header.takeError();
  auto config = ggufConfig(*header, file);
  if (!config)
    return config.takeError();
  auto names = canonicalNames(*header, file);
  if (!names)
    return names.takeError();
  Checkpoint result(file.str(), std::move(*config),
                    SafeTensors(file.str(), std::move(buffer),
                                std::move(header->tensors), *names));
  result.tokenizer = lfmc::hasTokenizer(*header);
  return std::move(result);
}

Expected<Checkpoint> Checkpoint::open(StringRef path) {
  auto result = isGguf(path) ? openGguf(path) : openDirectory(path);
  if (!result)
    return result.takeError();
  if (Error error = result->findPrefix())
    return std::move(error);
  if (Error error = splitExperts(result->safeTensors, result->modelConfig))
    return std::move(error);
  if (Error error = result->takeFfnWidth())
    return std::move(error);
  if (Error error = result->checkTensors())
    return std::move(error);
  return result;
}

bool isCheckpoint(StringRef path) {
  return sys::fs::exists(path + "/config.json") || isGguf(path);
}

} // namespace lfmc
