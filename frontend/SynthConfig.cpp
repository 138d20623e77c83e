// SPDX-License-Identifier: Apache-2.0
#include "frontend/Synth.h"

#include "frontend/Errors.h"

#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace lfmc {
namespace {

using nlohmann::ordered_json;

/// A published model.
struct Preset {
  const char *name;
  int64_t hidden, layers, heads, ffDim, vocab;
  bool adjustFf;
  bool lfm25; // config and tokenizer in the style of LFM2.5
  double theta;
  std::vector<int64_t> attention;
  int64_t experts = 0, expertWidth = 0; // mixtures of experts
};

const std::vector<Preset> &presets() {
  static const std::vector<int64_t> six{2, 5, 8, 10, 12, 14};
  static const std::vector<int64_t> eight{2, 5, 9, 13, 17, 21, 24, 27};
  static const std::vector<Preset> table{
      {"350m", 1024, 16, 16, 6656, 65536, true, false, 1e6, six},
      {"700m", 1536, 16, 24, 10240, 65536, true, false, 1e6, six},
      {"1.2b", 2048, 16, 32, 12288, 65536, true, false, 1e6, six},
      {"2.6b", 2048, 30, 32, 10752, 65536, false, false, 1e6, eight},
      {"2.5-230m",
       1024,
       14,
       16,
       2560,
       65536,
       false,
       true,
       1e6,
       {2, 4, 6, 8, 10, 12}},
      {"2.5-2.6b", 2048, 30, 32, 10752, 128000, false, true, 1e7, eight},
      {"8b-a1b",
       2048,
       24,
       32,
       7168,
       65536,
       false,
       false,
       1e6,
       {2, 6, 10, 14, 18, 21},
       32,
       1792},
      {"24b-a2b",
       2048,
       40,
       32,
       11776,
       65536,
       false,
       false,
       1e6,
       {2, 6, 10, 14, 18, 22, 26, 30, 34, 38},
       64,
       1536},
      {"2.5-8b-a1b",
       2048,
       24,
       32,
       7168,
       128000,
       false,
       true,
       5e6,
       {2, 6, 10, 14, 18, 21},
       32,
       1792}};
  return table;
}

const Preset *findPreset(StringRef name) {
  auto it = find_if(presets(), [&](const Preset &p) { return name == p.name; });
  return it == presets().end() ? nullptr : &*it;
}

const char *dtypeText(DType type) {
  return type == DType::BF16  ? "bfloat16"
         : type == DType::F16 ? "float16"
                              : "float32";
}

/// pad, bos, eos of the vocabulary.
std::array<int64_t, 3> tokenIds(int64_t vocab) {
  if (vocab == 128000)
    return {124893, 124894, 124900};
  return {0, 1, 7};
}

ordered_json layerTypes(int64_t layers, ArrayRef<int64_t> attention) {
  ordered_json types = ordered_json::array();
  for (int64_t i = 0; i < layers; ++i)
    types.push_back(is_contained(attention, i) ? "full_attention" : "conv");
  return types;
}

/// Keys that both styles have.
ordered_json commonConfig(int64_t vocab, int64_t hidden, int64_t layers,
                          int64_t heads, int64_t kvHeads) {
  auto [pad, bos, eos] = tokenIds(vocab);
  return {{"architectures", {"Lfm2ForCausalLM"}},
          {"bos_token_id", bos},
          {"conv_L_cache", 3},
          {"conv_bias", false},
          {"eos_token_id", eos},
          {"hidden_size", hidden},
          {"initializer_range", 0.02},
          {"max_position_embeddings", 128000},
          {"model_type", "lfm2"},
          {"norm_eps", 1e-5},
          {"num_attention_heads", heads},
          {"num_hidden_layers", layers},
          {"num_key_value_heads", kvHeads},
          {"pad_token_id", pad},
          {"use_cache", true},
          {"vocab_size", vocab}};
}

ordered_json expertsConfig(const Preset &p, const SynthOptions &o,
                           ordered_json config) {
  config["architectures"] = {"Lfm2MoeForCausalLM"};
  config["dtype"] = dtypeText(o.dtype);
  config["intermediate_size"] = p.ffDim;
  config["layer_types"] =
      layerTypes(config["num_hidden_layers"].get<int64_t>(), p.attention);
  config["model_type"] = "lfm2_moe";
  config["moe_intermediate_size"] = p.expertWidth;
  config["norm_topk_prob"] = true;
  config["num_dense_layers"] = 2;
  config["num_experts"] = o.experts.value_or(p.experts);
  config["num_experts_per_tok"] = o.expertsPerToken.value_or(4);
  config["rope_theta"] = p.theta;
  config["routed_scaling_factor"] = 1.0;
  config["tie_word_embeddings"] = true;
  config["use_expert_bias"] = true;
  return config;
}

ordered_json presetConfig(const Preset &p, const SynthOptions &o) {
  DType dtype = o.dtype;
  int64_t layers = o.layers.value_or(p.layers);
  ordered_json config =
      commonConfig(p.vocab, p.hidden, layers, p.heads, /*kvHeads=*/8);
  if (p.experts)
    return expertsConfig(p, o, std::move(config));
  config["block_auto_adjust_ff_dim"] = p.adjustFf;
  config["block_ffn_dim_multiplier"] = 1.0;
  config["block_multiple_of"] = 256;
  if (p.lfm25) {
    config["dtype"] = dtypeText(dtype);
    config["intermediate_size"] = p.ffDim;
    config["layer_types"] = layerTypes(layers, p.attention);
    config["rope_parameters"] = {{"rope_theta", p.theta},
                                 {"rope_type", "default"}};
    config["tie_word_embeddings"] = true;
    config["transformers_version"] = "5.0.0";
    return config;
  }
  config["block_dim"] = p.hidden;
  config["block_ff_dim"] = p.ffDim;
  config["block_mlp_init_scale"] = 1.0;
  config["block_norm_eps"] = 1e-5;
  config["block_out_init_scale"] = 1.0;
  config["block_use_swiglu"] = true;
  config["block_use_xavier_init"] = true;
  config["conv_dim"] = p.hidden;
  config["conv_dim_out"] = p.hidden;
  config["conv_use_xavier_init"] = true;
  config["full_attn_idxs"] = ordered_json::array();
  for (int64_t index : p.attention)
    if (index < layers)
      config["full_attn_idxs"].push_back(index);
  config["num_heads"] = p.heads;
  config["rope_theta"] = p.theta;
  config["theta"] = p.theta;
  config["torch_dtype"] = dtypeText(dtype);
  config["transformers_version"] = "4.54.0.dev0";
  config["use_pos_enc"] = true;
  return config;
}

ordered_json tinyConfig(const SynthOptions &o) {
  int64_t layers = o.layers.value_or(4), hidden = o.hidden.value_or(64);
  ordered_json config =
      commonConfig(o.vocab.value_or(512), hidden, layers, o.heads.value_or(4),
                   o.kvHeads.value_or(2));
  // Bounded here, before the list of layer types is built from it.
  layers = std::clamp<int64_t>(layers, 0, 1024);
  std::vector<int64_t> attention;
  for (int64_t i = 2; i < layers; i += 3)
    attention.push_back(i);
  config["block_auto_adjust_ff_dim"] = false;
  config["conv_L_cache"] = o.convTaps.value_or(3);
  config["conv_bias"] = o.convBias;
  config["dtype"] = dtypeText(o.dtype);
  if (o.headDim)
    config["head_dim"] = *o.headDim;
  config["intermediate_size"] = o.ffn.value_or(160);
  config["layer_types"] = layerTypes(layers, attention);
  config["max_position_embeddings"] = 4096;
  config["rope_parameters"] = {{"rope_theta", 1e6}, {"rope_type", "default"}};
  config["tie_word_embeddings"] = !o.untied;
  if (!o.experts)
    return config;
  config["architectures"] = {"Lfm2MoeForCausalLM"};
  config["model_type"] = "lfm2_moe";
  config["moe_intermediate_size"] = o.expertWidth.value_or(64);
  config["num_dense_layers"] = 1;
  config["num_experts"] = *o.experts;
  config["num_experts_per_tok"] = o.expertsPerToken.value_or(4);
  return config;
}

} // namespace

std::vector<std::string> synthPresets() {
  std::vector<std::string> names;
  for (const Preset &preset : presets())
    names.push_back(preset.name);
  names.push_back("tiny");
  return names;
}

Expected<std::string> synthConfigJson(const SynthOptions &o) {
  const Preset *preset = findPreset(o.preset);
  if (!preset && o.preset != "tiny")
    return makeError("no preset {}, expected one of {}", inQuotes(o.preset),
                     fmt::join(synthPresets(), ", "));
  if (preset && o.layers && (*o.layers < 1 || *o.layers > preset->layers))
    return makeError("expected 1 to {} layers of the preset {}, found {}",
                     preset->layers, inQuotes(o.preset), *o.layers);
  if ((o.experts || o.expertsPerToken) && preset && !preset->experts)
    return makeError("the preset {} has no experts", inQuotes(o.preset));
  if (preset &&
      (o.expertWidth || o.hidden || o.heads || o.kvHeads || o.headDim ||
       o.ffn || o.vocab || o.convTaps || o.convBias || o.untied))
    return makeError("dimensions can be changed for the preset 'tiny' only, "
                     "found {}",
                     inQuotes(o.preset));
  if (!isWeightDType(o.dtype) || dtypeElements(o.dtype) > 1)
    return makeError("cannot write weights of type {}, expected F32, F16 or "
                     "BF16",
                     std::string_view(dtypeName(o.dtype)));
  ordered_json config = preset ? presetConfig(*preset, o) : tinyConfig(o);
  // ordered_json keeps the order of insertion; the hub's files are sorted.
  nlohmann::json sorted = config;
  auto checked = ModelConfig::parse(sorted, "config.json");
  if (!checked)
    return checked.takeError();
  if (checked->vocabSize < 384)
    return makeError("a vocabulary of {} ids, expected at least 384",
                     checked->vocabSize);
  return sorted.dump(2) + "\n";
}

} // namespace lfmc
