// SPDX-License-Identifier: Apache-2.0
//
// Wrong config.json and generation_config.json.
#include "HostileCases.h"

using nlohmann::json;

namespace lfmc::hostile {
namespace {

constexpr const char *fileName = "config.json";
constexpr const char *generationName = "generation_config.json";

Case text(const char *name, std::string contents,
          std::vector<std::string> message, const char *file = fileName) {
  message.push_back(file);
  return {name, Stage::Checkpoint, Base::Single,
          [=](const Path &dir) { writeFile(dir / file, contents); },
          std::move(message)};
}

/// Merges a JSON text into the file; null removes a key. The text may say what
/// no document object model holds (1e999): it replaces a placeholder.
Case set(const char *name, const char *key, const char *value,
         std::vector<std::string> message, const char *file = fileName) {
  message.push_back(file);
  std::string keyText = key, valueText = value;
  return {name, Stage::Checkpoint, Base::Single,
          [=](const Path &dir) {
            editJson(dir / file, [&](json &c) { c[keyText] = "@@"; });
            replaceInFile(dir / file, "\"@@\"", valueText);
          },
          std::move(message)};
}

Case edit(const char *name, std::function<void(json &)> edit,
          std::vector<std::string> message) {
  message.push_back(fileName);
  return {name, Stage::Checkpoint, Base::Single,
          [edit](const Path &dir) { editJson(dir / fileName, edit); },
          std::move(message)};
}

Case generation(const char *name, const char *key, const char *value,
                std::vector<std::string> message) {
  message.push_back(key);
  return set(name, key, value, std::move(message), generationName);
}

} // namespace

std::vector<Case> configFileCases() {
  return {
      {"ConfigMissing",
       Stage::Checkpoint,
       Base::Single,
       [](const Path &dir) { std::filesystem::remove(dir / fileName); },
       {fileName, "cannot read"}},
      {"ConfigIsADirectory",
       Stage::Checkpoint,
       Base::Single,
       [](const Path &dir) {
         std::filesystem::remove(dir / fileName);
         std::filesystem::create_directory(dir / fileName);
       },
       {fileName, "is not a regular file"}},
      {"ConfigTooLarge",
       Stage::Checkpoint,
       Base::Single,
       [](const Path &dir) {
         std::filesystem::resize_file(dir / fileName, 5'000'000'000);
       },
       {fileName, "has 5000000000 bytes, expected at most"}},
      {"ConfigTruncated",
       Stage::Checkpoint,
       Base::Single,
       [](const Path &dir) {
         writeFile(dir / fileName, readFile(dir / fileName).substr(0, 200));
       },
       {fileName, "invalid JSON"}},
      text("ConfigEmpty", "", {"is empty"}),
      text("ConfigIsBinary",
           std::string("\x7f"
                       "ELF\0\1\2",
                       7),
           {"invalid JSON"}),
      text("ConfigIsArray", "[]", {"found array, expected an object"}),
      text("ConfigIsNull", "null", {"found null, expected an object"}),
      text("ConfigTooDeep", std::string(500'000, '['),
           {"nesting deeper than 32"}),
      text("ConfigKeyTwice",
           R"({"model_type": "lfm2", "hidden_size": 64, "hidden_size": 65})",
           {"duplicate key 'hidden_size'"}),
      text("ConfigNotUtf8", "{\"model_type\": \"\xff\"}", {"invalid JSON"}),
      text("GenerationIsArray", "[]", {"found array, expected an object"},
           generationName),
      text("GenerationIsNull", "null", {"found null, expected an object"},
           generationName),
      text("GenerationTruncated", "{\"top_k\": ", {"invalid JSON"},
           generationName),
      generation("TemperatureNegative", "temperature", "-0.5", {"is -0.5"}),
      generation("TemperatureNaN", "temperature", "NaN", {"invalid JSON"}),
      generation("TemperatureIsString", "temperature", "\"hot\"",
                 {"is \"hot\", expected a number"}),
      generation("TopKFraction", "top_k", "40.5",
                 {"is 40.5, expected an integer"}),
      generation("TopPAboveOne", "top_p", "1.5", {"is 1.5"}),
      generation("PenaltyZero", "repetition_penalty", "0", {"is 0"}),
      generation("GenerationEosBeyondVocabulary", "eos_token_id", "[7, 512]",
                 {"is 512, expected token ids from 0 to 511"}),
  };
}

std::vector<Case> configValueCases() {
  std::vector<Case> cases{
      set("ModelTypeMoe", "model_type", "\"lfm2_moe\"",
          {"architecture \"Lfm2ForCausalLM\" is not supported"}),
      set("ModelTypeVision", "model_type", "\"lfm2_vl\"", {"'lfm2_vl'"}),
      set("ModelTypeLfm3", "model_type", "\"lfm3\"",
          {"'lfm3'", "expected 'lfm2'"}),
      set("ModelTypeOther", "model_type", "\"llama\"",
          {"model_type 'llama' is not supported, expected 'lfm2'"}),
      set("ModelTypeWithControlCharacters", "model_type", "\"\\u001b[31mx\"",
          {"'\\x1b[31mx'"}),
      set("ModelTypeIsNumber", "model_type", "2", {"is 2, expected a string"}),
      edit("ModelTypeMissing", [](json &c) { c.erase("model_type"); },
           {"no 'model_type'"}),
      set("ArchitectureBidirectional", "architectures",
          "[\"Lfm2BidirectionalModel\"]",
          {"architecture \"Lfm2BidirectionalModel\" is not supported"}),
      set("Quantized", "quantization_config", "{\"quant_method\": \"awq\"}",
          {"quant_method \"awq\""}),
      set("LayerTypeUnknown", "layer_types",
          R"(["conv", "conv", "mamba", "conv"])",
          {"layer 2 has type \"mamba\""}),
      set("LayerTypeSliding", "layer_types",
          R"(["conv", "sliding_attention", "conv", "conv"])",
          {"layer 1 has type \"sliding_attention\""}),
      set("LayerTypeIsNumber", "layer_types", "[1, 2, 3, 4]",
          {"layer 0 has type 1"}),
      set("LayerTypesTooMany", "layer_types",
          R"(["conv", "conv", "full_attention", "conv", "conv"])",
          {"'layer_types' has 5 entries, expected 4"}),
      set("LayerTypesTooFew", "layer_types", R"(["conv", "conv"])",
          {"'layer_types' has 2 entries, expected 4"}),
      set("LayerTypesIsString", "layer_types", "\"conv\"",
          {"'layer_types' is \"conv\", expected an array"}),
      set("LayersZero", "num_hidden_layers", "0", {"'num_hidden_layers' is 0"}),
      set("LayersHuge", "num_hidden_layers", "2000000000",
          {"'num_hidden_layers' is 2000000000, expected an integer from 1 to"}),
      set("HiddenZero", "hidden_size", "0", {"'hidden_size' is 0"}),
      set("HiddenNegative", "hidden_size", "-64", {"'hidden_size' is -64"}),
      set("HiddenFraction", "hidden_size", "64.5", {"'hidden_size' is 64.5"}),
      set("HiddenIsString", "hidden_size", "\"64\"",
          {"'hidden_size' is \"64\""}),
      set("HiddenIsBoolean", "hidden_size", "true", {"'hidden_size' is true"}),
      set("HiddenHuge", "hidden_size", "4294967296",
          {"'hidden_size' is 4294967296"}),
      set("HiddenBeyond63Bits", "hidden_size", "18446744073709551615",
          {"'hidden_size' is 18446744073709551615"}),
      set("HiddenInfinite", "hidden_size", "1e999", {"invalid JSON"}),
      set("HiddenNaN", "hidden_size", "NaN", {"invalid JSON"}),
      edit("HiddenMissing", [](json &c) { c.erase("hidden_size"); },
           {"no 'hidden_size'"}),
      edit("HiddenNull", [](json &c) { c["hidden_size"] = nullptr; },
           {"no 'hidden_size'"}),
      set("VocabularyZero", "vocab_size", "0", {"'vocab_size' is 0"}),
      set("VocabularyHuge", "vocab_size", "9223372036854775807",
          {"'vocab_size' is 9223372036854775807"}),
      set("HeadsZero", "num_attention_heads", "0",
          {"'num_attention_heads' is 0"}),
      set("HeadsDoNotDivideHidden", "num_attention_heads", "6",
          {"'num_attention_heads' is 6, expected a divisor of hidden_size 64"}),
      set("HeadsOfOddSize", "num_attention_heads", "64",
          {"64 heads of size 1"}),
      set("HeadDimOdd", "head_dim", "15", {"heads of size 15"}),
      set("HeadDimHuge", "head_dim", "100000", {"'head_dim' is 100000"}),
      set("KvHeadsZero", "num_key_value_heads", "0",
          {"'num_key_value_heads' is 0"}),
      set("KvHeadsDoNotDivide", "num_key_value_heads", "3",
          {"'num_key_value_heads' is 3, expected a divisor of the 4"}),
      set("TapsOne", "conv_L_cache", "1", {"'conv_L_cache' is 1"}),
      set("TapsHuge", "conv_L_cache", "1000000", {"'conv_L_cache' is 1000000"}),
      set("ConvBiasIsNumber", "conv_bias", "1",
          {"'conv_bias' is 1, expected true or false"}),
      set("NormEpsZero", "norm_eps", "0", {"'norm_eps' is 0"}),
      set("NormEpsNegative", "norm_eps", "-1e-5", {"'norm_eps' is -1e-05"}),
      set("FfnWidthZero", "intermediate_size", "0",
          {"'intermediate_size' is 0"}),
      set("FfnWidthHuge", "block_ff_dim", "1099511627776",
          {"'block_ff_dim' is 1099511627776"}),
      set("ContextZero", "max_position_embeddings", "0",
          {"'max_position_embeddings' is 0"}),
      set("ThetaZero", "rope_parameters", "{\"rope_theta\": 0}",
          {"'rope_theta' is 0"}),
      set("ThetaIsString", "rope_theta", "\"1e6\"",
          {"'rope_theta' is \"1e6\""}),
      set("RopeScaled", "rope_parameters",
          "{\"rope_type\": \"yarn\", \"rope_theta\": 1e6}",
          {"rope_parameters of type 'yarn' is not supported"}),
      set("RopeScaledOldSpelling", "rope_scaling",
          "{\"type\": \"linear\", \"factor\": 2}",
          {"rope_scaling of type 'linear' is not supported"}),
      set("RopePartial", "partial_rotary_factor", "0.5",
          {"'partial_rotary_factor' is 0.5, expected 1"}),
      set("RopeIsArray", "rope_parameters", "[1]",
          {"'rope_parameters' is array of 1 entries, expected an object"}),
      set("TieIsString", "tie_word_embeddings", "\"yes\"",
          {"'tie_word_embeddings' is \"yes\", expected true or false"}),
      set("EosBeyondVocabulary", "eos_token_id", "512",
          {"'eos_token_id' is 512, expected token ids from 0 to 511"}),
      set("EosHoldsString", "eos_token_id", "[7, \"x\"]",
          {"'eos_token_id' is \"x\""}),
      set("EosNegative", "eos_token_id", "[-1]", {"'eos_token_id' is -1"}),
      set("BosBeyondVocabulary", "bos_token_id", "70000",
          {"'bos_token_id' is 70000"}),
      set("PadIsFraction", "pad_token_id", "0.5", {"'pad_token_id' is 0.5"}),
  };
  // The old spelling of the layer types.
  auto indices = [&](const char *name, json value,
                     std::vector<std::string> message) {
    cases.push_back(edit(
        name,
        [value](json &c) {
          c.erase("layer_types");
          c["full_attn_idxs"] = value;
        },
        std::move(message)));
  };
  indices("AttentionBeyondLayers", {2, 4},
          {"'full_attn_idxs' names layer 4, expected 0 to 3"});
  indices("AttentionNegative", {-1}, {"names layer -1"});
  indices("AttentionBeyond63Bits", {UINT64_MAX}, {"18446744073709551615"});
  indices("AttentionTwice", {2, 2}, {"names layer 2 twice"});
  indices("AttentionIsNumber", 2, {"'full_attn_idxs' is 2"});
  return cases;
}

} // namespace lfmc::hostile
