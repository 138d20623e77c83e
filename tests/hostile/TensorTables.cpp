// SPDX-License-Identifier: Apache-2.0
//
// Well-formed files that do not fit together, and values that are no numbers.
#include "HostileCases.h"

#include <cstring>

using nlohmann::json;

namespace lfmc::hostile {
namespace {

constexpr const char *inProj = "model.layers.0.conv.in_proj.weight";

Case tensors(const char *name, std::function<void(Tensors &)> edit,
             std::vector<std::string> message,
             Stage stage = Stage::Checkpoint) {
  return {
      name, stage, Base::Single,
      [edit](const Path &dir) { editTensors(dir / "model.safetensors", edit); },
      std::move(message)};
}

Case config(const char *name, const char *key, json value,
            std::vector<std::string> message) {
  std::string keyText = key;
  return {name, Stage::Checkpoint, Base::Single,
          [=](const Path &dir) {
            editJson(dir / "config.json", [&](json &c) { c[keyText] = value; });
          },
          std::move(message)};
}

Case rename(const char *name, std::string (*newName)(const std::string &),
            std::vector<std::string> message) {
  return tensors(
      name,
      [newName](Tensors &t) {
        Tensors renamed;
        for (auto &[old, tensor] : t)
          renamed[newName(old)] = std::move(tensor);
        t = std::move(renamed);
      },
      std::move(message));
}

/// Puts the bits of a bf16 number in the middle of a tensor.
Case value(const char *name, const char *tensor, uint16_t bits) {
  std::string tensorText = tensor;
  return tensors(
      name,
      [=](Tensors &t) {
        std::string &data = t.at(tensorText).data;
        std::memcpy(data.data() + data.size() / 4 * 2, &bits, 2);
      },
      {tensorText}, Stage::Values);
}

/// Another element type of the same size, or a wider copy.
Case dtype(const char *name, const char *type, size_t widen,
           std::vector<std::string> message) {
  std::string typeText = type;
  message.push_back(inProj);
  return tensors(
      name,
      [=](Tensors &t) {
        Tensor &tensor = t.at(inProj);
        tensor.dtype = typeText;
        if (widen == 0) // half as wide
          tensor.data.resize(tensor.data.size() / 2);
        else
          tensor.data.resize(tensor.data.size() * widen);
      },
      std::move(message));
}

} // namespace

std::vector<Case> tensorCases() {
  return {
      tensors("TensorMissing", [](Tensors &t) { t.erase(inProj); },
              {"no tensor 'model.layers.0.conv.in_proj.weight' (layer 0, "
               "conv), expected shape [192, 64]"}),
      tensors("TensorsMissingAreAllNamed",
              [](Tensors &t) {
                t.erase(inProj);
                t.erase("model.layers.2.self_attn.k_layernorm.weight");
                t.erase("model.embedding_norm.weight");
              },
              {inProj,
               "'model.layers.2.self_attn.k_layernorm.weight' (layer "
               "2, full_attention)",
               "model.embedding_norm.weight"}),
      tensors("TensorsMissingAreCut",
              [](Tensors &t) {
                Tensor embed = t.at("model.embed_tokens.weight");
                t = {{"model.embed_tokens.weight", embed}};
              },
              {"more like this"}),
      tensors("EmbeddingMissing",
              [](Tensors &t) { t.erase("model.embed_tokens.weight"); },
              {"no tensor 'model.embed_tokens.weight'"}),
      tensors("TensorExtra",
              [](Tensors &t) {
                t["model.layers.0.conv.gate.weight"] = {"BF16", {1}, "xx"};
              },
              {"unexpected tensor 'model.layers.0.conv.gate.weight' [1]"}),
      tensors("TensorTransposed",
              [](Tensors &t) {
                t.at(inProj).shape = {64, 192};
              },
              {"tensor 'model.layers.0.conv.in_proj.weight' (layer 0, conv) "
               "has shape [64, 192], expected [192, 64]"}),
      tensors("TensorSqueezed",
              [](Tensors &t) {
                t.at("model.layers.0.conv.conv.weight").shape = {64, 3};
              },
              {"has shape [64, 3], expected [64, 1, 3]"}),
      tensors("FeedForwardTransposed",
              [](Tensors &t) {
                t.at("model.layers.0.feed_forward.w1.weight").shape = {64, 160};
              },
              {"'model.layers.0.feed_forward.w1.weight' has shape [64, 160], "
               "expected [feed-forward width, 64]"}),
      tensors("FeedForwardFlat",
              [](Tensors &t) {
                t.at("model.layers.0.feed_forward.w1.weight").shape = {10240};
              },
              {"has shape [10240], expected [feed-forward width, 64]"}),
      tensors("FeedForwardOfTwoWidths",
              [](Tensors &t) {
                Tensor &w1 = t.at("model.layers.3.feed_forward.w1.weight");
                w1.shape = {80, 64};
                w1.data.resize(80 * 64 * 2);
              },
              {"'model.layers.3.feed_forward.w1.weight' (layer 3, conv) has "
               "shape [80, 64], expected [160, 64]"}),
      tensors("FeedForwardEmpty",
              [](Tensors &t) {
                Tensor &w1 = t.at("model.layers.0.feed_forward.w1.weight");
                w1.shape = {0, 64};
                w1.data.clear();
              },
              {"has shape [0, 64], expected [feed-forward width, 64]"}),
      tensors("BothPrefixes",
              [](Tensors &t) {
                t["embed_tokens.weight"] = t.at("model.embed_tokens.weight");
              },
              {"has both 'model.embed_tokens.weight' and "
               "'embed_tokens.weight'"}),
      dtype("WeightsOfI16", "I16", 1,
            {"has dtype I16, expected F32, F16 or BF16"}),
      dtype("WeightsOfF64", "F64", 4,
            {"has dtype F64, expected F32, F16 or BF16"}),
      dtype("WeightsOfF8", "F8_E4M3", 0,
            {"has dtype F8_E4M3, expected F32, F16 or BF16"}),
      dtype("WeightsOfU8", "U8", 0,
            {"has dtype U8, expected F32, F16 or BF16"}),
      rename("VisionModel",
             [](const std::string &name) {
               return "model.language_model." + name.substr(6);
             },
             {"but 'model.language_model.embed_tokens.weight'"}),
      rename("ForeignNames",
             [](const std::string &name) { return "blk." + name; },
             {"no tensor 'model.embed_tokens.weight'",
              "'blk.model.embed_tokens.weight'"}),
      config("ConfigOfMoreLayers", "layer_types",
             {"conv", "full_attention", "conv", "conv"},
             {"no tensor 'model.layers.1.self_attn.q_proj.weight'",
              "unexpected tensor 'model.layers.1.conv.conv.weight'"}),
      config("ConfigOfOtherVocabulary", "vocab_size", 65536,
             {"'model.embed_tokens.weight' has shape [512, 64], expected "
              "[65536, 64]"}),
      config("ConfigOfOtherTaps", "conv_L_cache", 7,
             {"has shape [64, 1, 3], expected [64, 1, 7]"}),
      config("ConfigOfOtherHeads", "num_key_value_heads", 1,
             {"'model.layers.2.self_attn.k_proj.weight' (layer 2, "
              "full_attention) has shape [32, 64], expected [16, 64]"}),
      config("ConfigWithBiases", "conv_bias", true,
             {"no tensor 'model.layers.0.conv.in_proj.bias'"}),
      config("ConfigUntied", "tie_word_embeddings", false,
             {"no tensor 'lm_head.weight', expected shape [512, 64]"}),
      value("NaNInMatrix", inProj, 0x7fc0),
      value("SignallingNaNInMatrix", "model.layers.2.self_attn.q_proj.weight",
            0xffa1),
      value("InfinityInMatrix", "model.layers.3.feed_forward.w2.weight",
            0x7f80),
      value("NaNInNorm", "model.layers.1.operator_norm.weight", 0x7fc0),
      value("InfinityInTaps", "model.layers.0.conv.conv.weight", 0xff80),
      value("NaNInEmbedding", "model.embed_tokens.weight", 0x7fc0),
  };
}

} // namespace lfmc::hostile
