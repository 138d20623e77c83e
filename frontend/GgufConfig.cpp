// SPDX-License-Identifier: Apache-2.0
#include "frontend/GgufConfig.h"

#include "frontend/Errors.h"
#include "frontend/JsonFields.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace llvm;

namespace lfmc {
namespace {

using nlohmann::json;

struct Renamed {
  const char *gguf, *canonical;
};

constexpr Renamed configKeys[] = {
    {"lfm2.vocab_size", "vocab_size"},
    {"lfm2.embedding_length", "hidden_size"},
    {"lfm2.block_count", "num_hidden_layers"},
    {"lfm2.feed_forward_length", "intermediate_size"},
    {"lfm2.attention.head_count", "num_attention_heads"},
    {"lfm2.attention.head_count_kv", "num_key_value_heads"},
    {"lfm2.attention.key_length", "head_dim"},
    {"lfm2.attention.layer_norm_rms_epsilon", "norm_eps"},
    {"lfm2.rope.freq_base", "rope_theta"},
    {"lfm2.shortconv.l_cache", "conv_L_cache"},
    {"lfm2.context_length", "max_position_embeddings"},
    {"lfm2.expert_count", "num_experts"},
    {"lfm2.expert_used_count", "num_experts_per_tok"},
    {"lfm2.expert_feed_forward_length", "moe_intermediate_size"},
    {"lfm2.leading_dense_block_count", "num_dense_layers"},
    {"lfm2.expert_weights_scale", "routed_scaling_factor"},
    {"lfm2.expert_weights_norm", "norm_topk_prob"},
    {"tokenizer.ggml.bos_token_id", "bos_token_id"},
    {"tokenizer.ggml.padding_token_id", "pad_token_id"},
    {"tokenizer.ggml.eos_token_id", "eos_token_id"}};

constexpr Renamed samplingKeys[] = {
    {"general.sampling.temp", "temperature"},
    {"general.sampling.top_k", "top_k"},
    {"general.sampling.top_p", "top_p"},
    {"general.sampling.min_p", "min_p"},
    {"general.sampling.penalty_repeat", "repetition_penalty"}};

constexpr Renamed modelTensors[] = {
    {"token_embd", "model.embed_tokens"},
    {"token_embd_norm", "model.embedding_norm"},
    {"output_norm", "model.embedding_norm"}, // as early converters called it
    {"output", "lm_head"}};

constexpr Renamed layerTensors[] = {
    {"attn_norm", "operator_norm"},
    {"shortconv.in_proj", "conv.in_proj"},
    {"shortconv.conv", "conv.conv"},
    {"shortconv.out_proj", "conv.out_proj"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_layernorm"},
    {"attn_k_norm", "self_attn.k_layernorm"},
    {"attn_output", "self_attn.out_proj"},
    {"ffn_norm", "ffn_norm"},
    {"ffn_gate", "feed_forward.w1"},
    {"ffn_up", "feed_forward.w3"},
    {"ffn_down", "feed_forward.w2"},
    {"ffn_gate_inp", "feed_forward.gate"},
    // All experts in one; see splitExperts.
    {"ffn_gate_exps", "feed_forward.experts.w1"},
    {"ffn_up_exps", "feed_forward.experts.w3"},
    {"ffn_down_exps", "feed_forward.experts.w2"}};

// Architecture of mixtures of experts; its keys are those of lfm2.
constexpr StringLiteral expertsArchitecture = "lfm2moe";
constexpr const char *expertCountKey = "lfm2.expert_count";

/// `object`'s members under the keys of a Hugging Face file.
json renamed(const json &object, ArrayRef<Renamed> rows) {
  json result = json::object();
  for (const Renamed &row : rows)
    if (auto it = object.find(row.gguf); it != object.end())
      result[row.canonical] = *it;
  return result;
}

/// `text` with the keys that the file has instead of those of config.json.
std::string withOwnKeys(std::string text) {
  for (ArrayRef<Renamed> rows :
       {ArrayRef<Renamed>(configKeys), ArrayRef<Renamed>(samplingKeys)})
    for (const Renamed &row : rows) {
      std::string from = fmt::format("'{}'", row.canonical);
      std::string to = fmt::format("'{}'", row.gguf);
      for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;
           at += to.size())
        text.replace(at, from.size(), to);
    }
  return text;
}

StringRef describeArchitecture(StringRef name) {
  return StringSwitch<StringRef>(name)
      .Case("clip", " (the encoder of a multimodal model)")
      .Default("");
}

void checkArchitecture(JsonFields &fields) {
  auto name = fields.string({"general.architecture"});
  if (!name)
    return fields.fail("no 'general.architecture', expected \"lfm2\"");
  bool experts = *name == expertsArchitecture;
  if (*name != "lfm2" && !experts)
    return fields.fail(fmt::format(
        "'general.architecture' is {}{}, expected 'lfm2' or 'lfm2moe'",
        inQuotes(*name), std::string_view(describeArchitecture(*name))));
  if (auto parts = fields.integer({"split.count"}, 0, UINT16_MAX);
      parts && *parts > 1)
    return fields.fail(fmt::format("the file is one of {} parts of a model: "
                                   "merge them with llama-gguf-split --merge",
                                   *parts));
  if (!fields.boolean({"lfm2.attention.causal"}).value_or(true))
    return fields.fail("'lfm2.attention.causal' is false: bidirectional models "
                       "are not supported");
  fields.integer({"lfm2.attention.sliding_window"}, 0, 0);
  constexpr int64_t sigmoid = 2;
  if (experts)
    fields.integer({"lfm2.expert_gating_func"}, sigmoid, sigmoid);
  else
    fields.integer({expertCountKey}, 0, 0);
  auto scaling = fields.string({"lfm2.rope.scaling.type"});
  if (scaling && *scaling != "none")
    fields.fail(fmt::format("'lfm2.rope.scaling.type' is {}, expected 'none'",
                            inQuotes(*scaling)));
  for (const char *key : {"lfm2.block_count", "lfm2.rope.freq_base",
                          "lfm2.attention.layer_norm_rms_epsilon",
                          "lfm2.shortconv.l_cache", "lfm2.context_length"})
    if (!fields.has(key))
      fields.fail(fmt::format("no '{}'", key));
}

// The heads of K and V by layer: 0 where a layer is a convolution.
void readLayers(JsonFields &fields, json &config) {
  const char *key = "lfm2.attention.head_count_kv";
  const json *counts = fields.find({key});
  if (!counts || !counts->is_array())
    return; // the same for all layers, which then are attention layers
  json types = json::array(), heads;
  for (const json &count : *counts) {
    types.push_back(count == 0 ? "conv" : "full_attention");
    if (count == 0)
      continue;
    if (!heads.is_null() && heads != count)
      return fields.fail(fmt::format("'{}' has {} and {} heads, expected one "
                                     "number of heads in all layers",
                                     key, jsonText(heads), jsonText(count)));
    heads = count;
  }
  if (int64_t(types.size()) != fields.integer({"lfm2.block_count"}, 1, 1024))
    return fields.fail(fmt::format("'{}' has {} entries, expected one for each "
                                   "of the layers (lfm2.block_count)",
                                   key, types.size()));
  // A model of convolutions alone has no number of heads; any will do.
  config["num_key_value_heads"] = heads.is_null() ? json(1) : heads;
  config["layer_types"] = std::move(types);
}

Expected<ModelConfig> readConfig(const GgufHeader &header, const json &metadata,
                                 bool experts, StringRef path) {
  JsonFields fields(metadata, path);
  checkArchitecture(fields);
  json config = renamed(metadata, configKeys);
  config["model_type"] = experts ? "lfm2_moe" : "lfm2";
  config["block_auto_adjust_ff_dim"] = false; // the width is the final one
  if (!config.contains("vocab_size"))
    if (const json *tokens = fields.find({"tokenizer.ggml.tokens"}))
      config["vocab_size"] = tokens->size();
  if (!fields.failed())
    readLayers(fields, config);
  // A turn's end may be a token of its own.
  const json *turn = fields.find({"tokenizer.ggml.eot_token_id"});
  if (turn && config.contains("eos_token_id"))
    config["eos_token_id"] = json::array({config["eos_token_id"], *turn});
  if (Error error = fields.takeError())
    return std::move(error);

  auto has = [&](StringRef suffix) {
    return any_of(header.tensors, [&](const TensorInfo &info) {
      return StringRef(info.name).ends_with(suffix);
    });
  };
  config["conv_bias"] = has("shortconv.conv.bias");
  config["use_expert_bias"] = has(".exp_probs_b.bias");
  config["tie_word_embeddings"] =
      none_of(header.tensors, [](const TensorInfo &info) {
        return info.name == "output.weight";
      });
  auto result =
      ModelConfig::parse(config, path, renamed(metadata, samplingKeys), path);
  if (!result)
    return makeError("{}", withOwnKeys(toString(result.takeError())));
  for (const char *key :
       {"lfm2.rope.dimension_count", "lfm2.attention.value_length"}) {
    auto found = fields.integer({key}, 1, 1024);
    if (found && *found != result->headDim)
      fields.fail(fmt::format("'{}' is {}, expected {}, the size of a head",
                              key, *found, result->headDim));
  }
  if (Error error = fields.takeError())
    return std::move(error);
  return result;
}

} // namespace

Expected<ModelConfig> ggufConfig(const GgufHeader &header, StringRef path) {
  auto name = header.metadata.find("general.architecture");
  if (name == header.metadata.end() || *name != expertsArchitecture.str())
    return readConfig(header, header.metadata, false, path);
  json metadata = json::object();
  for (const auto &[key, value] : header.metadata.items()) {
    StringRef rest = key;
    bool own = rest.consume_front((expertsArchitecture + ".").str());
    metadata[own ? "lfm2." + rest.str() : key] = value;
  }
  auto config = readConfig(header, metadata, true, path);
  if (config)
    return config;
  std::string text = toString(config.takeError());
  for (size_t at = 0; (at = text.find("'lfm2.", at)) != std::string::npos;)
    text.insert(at += 5, "moe");
  return makeError("{}", text);
}

// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight".
static std::string canonicalName(StringRef name) {
  auto [stem, suffix] = name.rsplit('.');
  auto find = [](ArrayRef<Renamed> rows, StringRef part) {
    auto row = find_if(rows, [&](const Renamed &r) { return part == r.gguf; });
    return row == rows.end() ? nullptr : row->canonical;
  };
  if (const char *known = find(modelTensors, stem))
    return fmt::format("{}.{}", known, std::string_view(suffix));
  unsigned layer;
  if (stem.consume_front("blk.") && !stem.consumeInteger(10, layer) &&
      stem.consume_front(".")) {
    if (stem == "exp_probs_b")
      return fmt::format("model.layers.{}.feed_forward.expert_bias", layer);
    if (const char *known = find(layerTensors, stem))
      return fmt::format("model.layers.{}.{}.{}", layer, known,
                         std::string_view(suffix));
  }
  return name.str();
}

Expected<std::vector<std::string>> canonicalNames(GgufHeader &header,
                                                  StringRef path) {
  std::vector<std::string> names;
  StringMap<StringRef> seen;
  for (TensorInfo &info : header.tensors) {
    names.push_back(canonicalName(info.name));
    auto [other, isNew] = seen.try_emplace(names.back(), info.name);
    if (!isNew)
      return makeError("{}: tensors {} and {} are the same: {}", inQuotes(path),
                       inQuotes(other->second), inQuotes(info.name),
                       inQuotes(names.back()));
    if (StringRef(names.back()).ends_with(".conv.conv.weight") &&
        info.shape.size() == 2)
      info.shape.insert(info.shape.begin() + 1, 1);
  }
  return names;
}

bool hasTokenizer(const GgufHeader &header) {
  auto model = header.metadata.find("tokenizer.ggml.model");
  return model != header.metadata.end() && *model != "none" &&
         *model != "no_vocab";
}

} // namespace lfmc
