// SPDX-License-Identifier: Apache-2.0
//
// The spellings of config.json that are in the wild.
#include "frontend/ModelConfig.h"

#include <gtest/gtest.h>

using namespace lfmc;
using nlohmann::json;

namespace {

/// As the first hub repositories spelled it (1.2B).
json legacy() {
  return json::parse(R"({
    "architectures": ["Lfm2ForCausalLM"], "block_auto_adjust_ff_dim": true,
    "block_dim": 2048, "block_ff_dim": 12288, "block_ffn_dim_multiplier": 1.0,
    "block_multiple_of": 256, "block_norm_eps": 1e-05, "bos_token_id": 1,
    "conv_L_cache": 3, "conv_bias": false, "conv_dim": 2048,
    "eos_token_id": 7, "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    "hidden_size": 2048, "max_position_embeddings": 128000,
    "model_type": "lfm2", "norm_eps": 1e-05, "num_attention_heads": 32,
    "num_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "pad_token_id": 0, "rope_theta": 1000000.0, "theta": 1000000.0,
    "torch_dtype": "bfloat16", "use_pos_enc": true, "vocab_size": 65536})");
}

/// As transformers 5 writes it (LFM2.5-2.6B).
json current() {
  json config = json::parse(R"({
    "architectures": ["Lfm2ForCausalLM"], "block_auto_adjust_ff_dim": false,
    "bos_token_id": 124894, "conv_L_cache": 3, "dtype": "bfloat16",
    "eos_token_id": [124900, 124895, 124900], "full_attn_idxs": null,
    "hidden_size": 2048, "intermediate_size": 10752,
    "max_position_embeddings": 128000, "model_type": "lfm2",
    "norm_eps": 1e-05, "num_attention_heads": 32, "num_hidden_layers": 30,
    "num_key_value_heads": 8, "pad_token_id": 124893,
    "rope_parameters": {"rope_theta": 10000000.0, "rope_type": "default"},
    "tie_word_embeddings": true, "vocab_size": 128000})");
  config["layer_types"] = json::array();
  for (int i = 0; i < 30; ++i) {
    bool attention = i == 2 || i == 5 || i == 9 || i == 13 || i == 17 ||
                     i == 21 || i == 24 || i == 27;
    config["layer_types"].push_back(attention ? "full_attention" : "conv");
  }
  return config;
}

ModelConfig good(const json &config, const json &generation = nullptr) {
  auto result = ModelConfig::parse(config, "config.json", generation);
  if (!result) {
    ADD_FAILURE() << llvm::toString(result.takeError());
    return {};
  }
  return *result;
}

TEST(ModelConfig, Legacy) {
  ModelConfig config = good(legacy());
  EXPECT_EQ(config.vocabSize, 65536);
  EXPECT_EQ(config.hiddenSize, 2048);
  EXPECT_EQ(config.numLayers, 16);
  ASSERT_EQ(config.layerTypes.size(), 16u);
  EXPECT_EQ(config.numAttentionLayers(), 6);
  EXPECT_EQ(config.layerTypes[14], LayerType::FullAttention);
  EXPECT_EQ(config.layerTypes[15], LayerType::Conv);
  EXPECT_EQ(config.headDim, 64);
  EXPECT_EQ(config.ffnWidth, 8192);
  EXPECT_EQ(config.ropeTheta, 1e6);
  EXPECT_TRUE(config.tieEmbeddings);
  EXPECT_EQ(config.bos, 1);
  EXPECT_EQ(config.pad, 0);
  EXPECT_EQ(config.eos, std::vector<int32_t>{7});
  EXPECT_EQ(config.parameterCount(), 1'170'340'608);
}

TEST(ModelConfig, Current) {
  ModelConfig config = good(current());
  EXPECT_EQ(config.ffnWidth, 10752);
  EXPECT_EQ(config.ropeTheta, 1e7);
  EXPECT_EQ(config.eos, (std::vector<int32_t>{124900, 124895}));
  EXPECT_EQ(config.parameterCount(), 2'697'198'592);
  EXPECT_TRUE(config.notes.empty());
}

TEST(ModelConfig, FeedForwardRule) {
  struct Case {
    const char *patch;
    int64_t width;
  };
  for (Case c :
       {Case{R"({"block_ff_dim": 6656})", 4608},
        Case{R"({"block_ff_dim": 10240})", 6912},
        // an already adjusted intermediate_size beside block_ff_dim
        Case{R"({"intermediate_size": 8192})", 8192},
        Case{R"({"block_ff_dim": null, "intermediate_size": 12288})", 8192},
        Case{R"({"block_auto_adjust_ff_dim": null})", 8192},
        Case{R"({"block_auto_adjust_ff_dim": false})", 12288},
        Case{R"({"block_multiple_of": 1000})", 9000},
        Case{R"({"block_multiple_of": null})", 8192},
        Case{R"({"block_ffn_dim_multiplier": 1.3})", 10752},
        Case{R"({"block_ffn_dim_multiplier": null})", 8192},
        Case{R"({"block_ff_dim": null})", 0}}) {
    json config = legacy();
    config.merge_patch(json::parse(c.patch)); // null removes the key
    EXPECT_EQ(good(config).ffnWidth, c.width) << c.patch;
  }
}

TEST(ModelConfig, OtherSpellings) {
  json config = legacy();
  config["tie_embedding"] = false; // wins over the newer key
  config["tie_word_embeddings"] = true;
  EXPECT_FALSE(good(config).tieEmbeddings);
  config.erase("tie_embedding");
  EXPECT_TRUE(good(config).tieEmbeddings);
  config["tie_word_embeddings"] = false;
  EXPECT_FALSE(good(config).tieEmbeddings);

  config = legacy();
  config.erase("norm_eps");
  config["block_norm_eps"] = 1e-6;
  EXPECT_EQ(good(config).normEps, 1e-6);
  config["norm_eps"] = 1e-4;
  EXPECT_EQ(good(config).normEps, 1e-4);

  config = legacy();
  config.erase("theta");
  config["rope_theta"] = 5000000; // an integer is a number too
  EXPECT_EQ(good(config).ropeTheta, 5e6);
  config.erase("rope_theta");
  EXPECT_EQ(good(config).ropeTheta, 1e6);
  config["theta"] = 2e6;
  EXPECT_EQ(good(config).ropeTheta, 2e6);
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 3e6}};
  ModelConfig both = good(config);
  EXPECT_EQ(both.ropeTheta, 3e6);
  EXPECT_EQ(both.notes.size(), 1u); // the two disagree

  config = legacy();
  config["head_dim"] = 128;
  EXPECT_EQ(good(config).headDim, 128);

  config = legacy();
  config.erase("full_attn_idxs");
  ModelConfig attentionOnly = good(config);
  EXPECT_EQ(attentionOnly.numAttentionLayers(), 16);
  EXPECT_EQ(attentionOnly.notes.size(), 1u);

  config = legacy();
  config.erase("eos_token_id");
  config.erase("bos_token_id");
  config["pad_token_id"] = nullptr;
  ModelConfig bare = good(config);
  EXPECT_TRUE(bare.eos.empty());
  EXPECT_EQ(bare.bos, -1);
  EXPECT_EQ(bare.pad, -1);
}

TEST(ModelConfig, GenerationConfig) {
  ModelConfig none = good(legacy());
  EXPECT_LT(none.sampling.temperature, 0);
  EXPECT_LT(none.sampling.topK, 0);
  EXPECT_LT(none.sampling.doSample, 0);
  ModelConfig config = good(legacy(), json::parse(R"({
    "do_sample": true, "temperature": 0.1, "top_k": 50, "top_p": 1.0,
    "min_p": 0.15, "repetition_penalty": 1.05, "eos_token_id": [7, 2]})"));
  EXPECT_FLOAT_EQ(config.sampling.temperature, 0.1f);
  EXPECT_FLOAT_EQ(config.sampling.topP, 1.0f);
  EXPECT_FLOAT_EQ(config.sampling.minP, 0.15f);
  EXPECT_FLOAT_EQ(config.sampling.repetitionPenalty, 1.05f);
  EXPECT_EQ(config.sampling.topK, 50);
  EXPECT_EQ(config.sampling.doSample, 1);
  EXPECT_EQ(config.eos, (std::vector<int32_t>{7, 2}));
}

} // namespace
