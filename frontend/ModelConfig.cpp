// SPDX-License-Identifier: Apache-2.0
#include "frontend/ModelConfig.h"
#include "frontend/Experts.h"

#include "frontend/GgufConfig.h"
#include "frontend/Json.h"
#include "frontend/JsonFields.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <cmath>

using namespace llvm;

namespace lfmc {
namespace {

using nlohmann::json;

constexpr uint64_t maxConfigBytes = 1 << 20;
constexpr int64_t maxWidth = 65536;
constexpr int64_t maxFfnWidth = 1 << 20;
constexpr int64_t maxVocab = 1 << 22;
constexpr int64_t maxPositions = 1 << 27;

/// Whether `value` is an integer from 0 to size - 1.
bool isIndex(const json &value, int64_t size) {
  // A huge unsigned value reads as a negative one.
  return value.is_number_integer() && value.get<int64_t>() >= 0 &&
         value.get<int64_t>() < size;
}

/// Relatives of LFM2 that would be miscompiled if taken for it.
StringRef describeModelType(StringRef type) {
  return StringSwitch<StringRef>(type)
      .Case("lfm2_vl", " (vision-language)")
      .Cases({"lfm2_audio", "lfm2-audio"}, " (audio)")
      .Cases({"lfm3", "lfm3_vl"}, " (another architecture)")
      .Default("");
}

/// Whether the model is a mixture of experts.
bool checkModelType(JsonFields &fields) {
  auto name = fields.string({"model_type"});
  bool experts = name == "lfm2_moe";
  if (!fields.has("model_type"))
    fields.fail("no 'model_type', expected \"lfm2\"");
  else if (name && *name != "lfm2" && !experts)
    fields.fail(fmt::format("model_type {}{} is not supported, expected 'lfm2' "
                            "or 'lfm2_moe'",
                            inQuotes(*name),
                            std::string_view(describeModelType(*name))));
  return experts;
}

void checkArchitecture(JsonFields &fields, bool experts) {
  const char *causal = experts ? "Lfm2MoeForCausalLM" : "Lfm2ForCausalLM";
  const char *base = experts ? "Lfm2MoeModel" : "Lfm2Model";
  if (const json *architectures = fields.find({"architectures"})) {
    if (!architectures->is_array())
      return fields.fail("'architectures' is " + jsonText(*architectures) +
                         ", expected an array");
    // The bidirectional encoders have model_type lfm2 too: only the class name
    // tells them apart.
    for (const json &entry : *architectures)
      if (entry != causal && entry != base)
        return fields.fail(
            fmt::format("architecture {} is not supported, expected \"{}\"",
                        jsonText(entry), causal));
  }
  if (const json *quantization = fields.find({"quantization_config"}))
    return fields.fail(
        "'quantization_config' is set (quant_method " +
        (quantization->is_object() && quantization->contains("quant_method")
             ? jsonText((*quantization)["quant_method"])
             : "unknown") +
        "): quantized checkpoints are not supported");
}

void readLayerTypes(JsonFields &fields, ModelConfig &config) {
  config.layerTypes.assign(config.numLayers, LayerType::FullAttention);
  if (const json *types = fields.find({"layer_types"})) {
    if (!types->is_array())
      return fields.fail("'layer_types' is " + jsonText(*types) +
                         ", expected an array");
    for (auto [index, entry] : enumerate(*types)) {
      if (entry != "conv" && entry != "full_attention")
        return fields.fail(fmt::format(
            "layer {} has type {}, expected \"conv\" or \"full_attention\"",
            index, jsonText(entry)));
      if (entry == "conv" && index < config.layerTypes.size())
        config.layerTypes[index] = LayerType::Conv;
    }
    if (int64_t(types->size()) != config.numLayers)
      return fields.fail(
          fmt::format("'layer_types' has {} entries, expected {} "
                      "(num_hidden_layers)",
                      types->size(), config.numLayers));
    return;
  }
  const json *indices = fields.find({"full_attn_idxs"});
  if (!indices) {
    config.notes.push_back("the config names neither layer_types nor "
                           "full_attn_idxs: all layers are attention layers");
    return;
  }
  if (!indices->is_array())
    return fields.fail("'full_attn_idxs' is " + jsonText(*indices) +
                       ", expected an array");
  config.layerTypes.assign(config.numLayers, LayerType::Conv);
  for (const json &entry : *indices) {
    if (!isIndex(entry, config.numLayers))
      return fields.fail(
          fmt::format("'full_attn_idxs' names layer {}, expected 0 to {}",
                      jsonText(entry), config.numLayers - 1));
    LayerType &type = config.layerTypes[entry.get<uint64_t>()];
    if (type == LayerType::FullAttention)
      return fields.fail("'full_attn_idxs' names layer " + jsonText(entry) +
                         " twice");
    type = LayerType::FullAttention;
  }
}

void readFfnWidth(JsonFields &fields, ModelConfig &config) {
  if (config.numExperts) { // never adjusted
    config.ffnWidth =
        fields.integer({"intermediate_size"}, 1, maxFfnWidth).value_or(0);
    return;
  }
  // Both keys may be present, intermediate_size even already adjusted:
  // block_ff_dim wins.
  auto width =
      fields.integer({"block_ff_dim", "intermediate_size"}, 1, maxFfnWidth);
  bool adjust = fields.boolean({"block_auto_adjust_ff_dim"}).value_or(true);
  const json *given = fields.find({"block_ffn_dim_multiplier"});
  double multiplier =
      fields.number({"block_ffn_dim_multiplier"}, 0, 1024, true).value_or(1.0);
  int64_t multiple =
      fields.integer({"block_multiple_of"}, 1, maxWidth).value_or(256);
  if (!width || fields.failed())
    return;
  int64_t result = *width;
  if (adjust) {
    result = 2 * result / 3;
    if (given)
      result = int64_t(multiplier * double(result));
    result = (result + multiple - 1) / multiple * multiple;
  }
  if (result < 1 || result > maxFfnWidth)
    return fields.fail(
        fmt::format("the feed-forward width is {} after adjustment, expected 1 "
                    "to {}",
                    result, maxFfnWidth));
  config.ffnWidth = result;
}

void readRope(JsonFields &fields, ModelConfig &config) {
  auto check = [&](const char *key) -> std::optional<double> {
    const json *object = fields.find({key});
    if (!object)
      return std::nullopt;
    if (!object->is_object()) {
      fields.fail(fmt::format("'{}' is {}, expected an object", key,
                              jsonText(*object)));
      return std::nullopt;
    }
    JsonFields inner(*object, key);
    auto type = inner.string({"rope_type", "type"});
    if (type && *type != "default")
      fields.fail(fmt::format("{} of type {} is not supported, expected "
                              "'default'",
                              key, inQuotes(*type)));
    auto partial = inner.number({"partial_rotary_factor"}, 0, 1);
    if (partial && *partial != 1)
      fields.fail(
          fmt::format("'partial_rotary_factor' is {}, expected 1", *partial));
    auto theta = inner.number({"rope_theta"}, 1, 1e12);
    if (Error error = inner.takeError())
      fields.fail(toString(std::move(error)));
    return theta;
  };
  auto nested = check("rope_parameters");
  check("rope_scaling");
  auto partial = fields.number({"partial_rotary_factor"}, 0, 1);
  if (partial && *partial != 1)
    fields.fail(
        fmt::format("'partial_rotary_factor' is {}, expected 1", *partial));
  const char *key = nullptr;
  fields.find({"theta", "rope_theta"}, &key);
  auto flat = fields.number({"theta", "rope_theta"}, 1, 1e12);
  if (nested && flat && *nested != *flat)
    config.notes.push_back(
        fmt::format("rope_parameters says theta {}, '{}' says {}: the former "
                    "counts",
                    *nested, key, *flat));
  config.ropeTheta = nested ? *nested : flat.value_or(1e6);
}

int32_t readToken(JsonFields &fields, const char *key, int64_t vocab) {
  // -1 means "none" in some re-exports.
  return int32_t(fields.integer({key}, -1, vocab - 1).value_or(-1));
}

std::vector<int32_t> readEos(JsonFields &fields, int64_t vocab) {
  std::vector<int32_t> ids;
  const json *value = fields.find({"eos_token_id"});
  if (!value)
    return ids;
  json list = value->is_array() ? *value : json::array({*value});
  if (list.size() > 256) {
    fields.fail(fmt::format("'eos_token_id' has {} entries, expected at most "
                            "256",
                            list.size()));
    return ids;
  }
  for (const json &entry : list) {
    if (!isIndex(entry, vocab)) {
      fields.fail(fmt::format("'eos_token_id' is {}, expected token ids from 0 "
                              "to {}",
                              jsonText(entry), vocab - 1));
      return ids;
    }
    auto id = entry.get<int32_t>();
    if (!is_contained(ids, id))
      ids.push_back(id);
  }
  return ids;
}

void readGeneration(JsonFields &fields, ModelConfig &config) {
  SamplingDefaults &s = config.sampling;
  s.temperature = float(fields.number({"temperature"}, 0, 100).value_or(-1));
  s.topP = float(fields.number({"top_p"}, 0, 1, true).value_or(-1));
  s.minP = float(fields.number({"min_p"}, 0, 1).value_or(-1));
  s.repetitionPenalty =
      float(fields.number({"repetition_penalty"}, 0, 100, true).value_or(-1));
  s.topK = int32_t(fields.integer({"top_k"}, 0, INT32_MAX).value_or(-1));
  s.topK = std::min<int32_t>(s.topK, int32_t(config.vocabSize));
  if (auto sample = fields.boolean({"do_sample"}))
    s.doSample = *sample;
  if (fields.has("eos_token_id"))
    config.eos = readEos(fields, config.vocabSize);
  if (config.bos < 0)
    config.bos = readToken(fields, "bos_token_id", config.vocabSize);
  if (config.pad < 0)
    config.pad = readToken(fields, "pad_token_id", config.vocabSize);
}

void readHeads(JsonFields &fields, ModelConfig &config) {
  config.numHeads = fields.required({"num_attention_heads"}, 1, 1024);
  config.numKvHeads = fields.required({"num_key_value_heads"}, 1, 1024);
  auto headDim = fields.integer({"head_dim"}, 2, 1024);
  if (fields.failed())
    return;
  if (config.numHeads % config.numKvHeads)
    return fields.fail(
        fmt::format("'num_key_value_heads' is {}, expected a divisor of the {} "
                    "num_attention_heads",
                    config.numKvHeads, config.numHeads));
  if (!headDim && config.hiddenSize % config.numHeads)
    return fields.fail(fmt::format(
        "'num_attention_heads' is {}, expected a divisor of hidden_size {} "
        "(there is no head_dim)",
        config.numHeads, config.hiddenSize));
  config.headDim = headDim.value_or(config.hiddenSize / config.numHeads);
  if (config.headDim % 2 || config.headDim < 2 || config.headDim > 1024 ||
      config.numHeads * config.headDim > maxWidth)
    return fields.fail(
        fmt::format("{} heads of size {}: expected an even size from 2 to 1024 "
                    "and at most {} in all",
                    config.numHeads, config.headDim, maxWidth));
}

} // namespace

StringRef layerTypeName(LayerType type) {
  return type == LayerType::Conv ? "conv" : "full_attention";
}

Expected<ModelConfig> ModelConfig::parse(const json &config, StringRef where,
                                         const json &generation,
                                         StringRef generationWhere) {
  ModelConfig result;
  JsonFields fields(config, where);
  bool experts = checkModelType(fields);
  checkArchitecture(fields, experts);
  result.vocabSize = fields.required({"vocab_size"}, 1, maxVocab);
  result.hiddenSize = fields.required({"hidden_size"}, 1, maxWidth);
  result.numLayers = fields.required({"num_hidden_layers"}, 1, 1024);
  readHeads(fields, result);
  result.convTaps = fields.integer({"conv_L_cache"}, 2, 64).value_or(3);
  result.convBias = fields.boolean({"conv_bias"}).value_or(false);
  result.normEps =
      fields.number({"norm_eps", "block_norm_eps"}, 0, 1, true).value_or(1e-5);
  result.tieEmbeddings =
      fields.boolean({"tie_embedding", "tie_word_embeddings"}).value_or(true);
  result.maxPositionEmbeddings =
      fields.integer({"max_position_embeddings"}, 1, maxPositions)
          .value_or(128000);
  if (!fields.failed()) {
    readLayerTypes(fields, result);
    if (experts)
      readExperts(fields, result);
    readFfnWidth(fields, result);
    readRope(fields, result);
    result.bos = readToken(fields, "bos_token_id", result.vocabSize);
    result.pad = readToken(fields, "pad_token_id", result.vocabSize);
    result.eos = readEos(fields, result.vocabSize);
  }
  if (Error error = fields.takeError())
    return std::move(error);

  if (!generation.is_null()) {
    JsonFields generationFields(generation, generationWhere);
    readGeneration(generationFields, result);
    if (Error error = generationFields.takeError())
      return std::move(error);
  }
  return result;
}

Expected<ModelConfig> ModelConfig::read(StringRef checkpoint) {
  if (isGguf(checkpoint)) {
    auto header = readGguf(checkpoint);
    if (!header)
      return header.takeError();
    return ggufConfig(*header, checkpoint);
  }
  SmallString<256> path(checkpoint), generationPath(checkpoint);
  sys::path::append(path, "config.json");
  sys::path::append(generationPath, "generation_config.json");
  auto config = readJsonFile(path, maxConfigBytes);
  if (!config)
    return config.takeError();
  json generation;
  if (sys::fs::exists(generationPath)) {
    auto parsed = readJsonFile(generationPath, maxConfigBytes);
    if (!parsed)
      return parsed.takeError();
    generation = std::move(*parsed);
    if (generation.is_null())
      return makeError("{}: found null, expected an object",
                       inQuotes(generationPath));
  }
  return parse(*config, path, generation, generationPath);
}

int64_t ModelConfig::numAttentionLayers() const {
  return llvm::count(layerTypes, LayerType::FullAttention);
}

int64_t ModelConfig::numConvLayers() const {
  return llvm::count(layerTypes, LayerType::Conv);
}

int64_t ModelConfig::parameterCount() const {
  int64_t h = hiddenSize, q = numHeads * headDim, kv = numKvHeads * headDim;
  int64_t conv = 4 * h * h + convTaps * h + (convBias ? 5 * h : 0);
  int64_t attention = 2 * q * h + 2 * kv * h + 2 * headDim;
  int64_t dense = 3 * h * ffnWidth;
  int64_t sparse =
      numExperts * (3 * h * expertWidth + h + (expertBias ? 1 : 0));
  return vocabSize * h * (tieEmbeddings ? 1 : 2) + h + numConvLayers() * conv +
         numAttentionLayers() * attention + numLayers * 2 * h +
         (numLayers - numExpertLayers()) * dense + numExpertLayers() * sparse;
}

int64_t ModelConfig::tensorCount() const {
  // Two norms, three or six of a mixer; three of a dense block.
  int64_t sparse = 3 * numExperts + 1 + (expertBias ? 1 : 0);
  return 2 + (tieEmbeddings ? 0 : 1) + numConvLayers() * (convBias ? 8 : 5) +
         numAttentionLayers() * 8 + (numLayers - numExpertLayers()) * 3 +
         numExpertLayers() * sparse;
}

int64_t ModelConfig::kvElementsPerToken() const {
  return numAttentionLayers() * 2 * numKvHeads * headDim;
}

int64_t ModelConfig::convStateElements() const {
  return numConvLayers() * (convTaps - 1) * hiddenSize;
}

} // namespace lfmc
