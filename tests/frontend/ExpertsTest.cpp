// SPDX-License-Identifier: Apache-2.0
//
// Configs and checkpoints of mixtures of experts: fields, layouts, GGUF.
#include "frontend/Experts.h"

#include "GgufBuilder.h"
#include "frontend/Checkpoint.h"
#include "frontend/SafeTensorsWriter.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

using namespace lfmc;
using nlohmann::json;

namespace {

const std::string source = LFMC_TEST_DATA "/checkpoints/moe-8e-bf16-biasf32";

json configJson() {
  std::ifstream file(source + "/config.json");
  return json::parse(file);
}

std::string problemOf(const json &config) {
  auto parsed = ModelConfig::parse(config, "config.json");
  return parsed ? "" : llvm::toString(parsed.takeError());
}

TEST(Experts, ConfigFields) {
  json config = configJson();
  auto parsed = ModelConfig::parse(config, "config.json");
  ASSERT_TRUE(bool(parsed)) << llvm::toString(parsed.takeError());
  EXPECT_EQ(parsed->numExperts, 8);
  EXPECT_EQ(parsed->expertsPerToken, 4);
  EXPECT_EQ(parsed->expertWidth, 48);
  EXPECT_EQ(parsed->numDenseLayers, 2);
  EXPECT_EQ(parsed->ffnWidth, 256); // not adjusted
  EXPECT_TRUE(parsed->expertBias && parsed->normalizeExperts);
  EXPECT_EQ(parsed->expertScaling, 1);
  config["use_expert_bias"] = config["norm_topk_prob"] = false;
  config["routed_scaling_factor"] = 2.5;
  config["num_dense_layers"] = 0;
  // Keys of dense models, which would change the width there.
  config["block_ff_dim"] = 999;
  config["block_auto_adjust_ff_dim"] = true;
  parsed = ModelConfig::parse(config, "config.json");
  ASSERT_TRUE(bool(parsed)) << llvm::toString(parsed.takeError());
  EXPECT_FALSE(parsed->expertBias || parsed->normalizeExperts);
  EXPECT_EQ(parsed->expertScaling, 2.5);
  EXPECT_EQ(parsed->ffnWidth, 256);
  EXPECT_TRUE(parsed->hasExperts(0));
}

TEST(Experts, ConfigsThatAreRefused) {
  struct {
    const char *key;
    json value;
    const char *problem;
  } cases[] = {{"num_experts", 0, "'num_experts' is 0"},
               {"num_experts", nullptr, "no 'num_experts'"},
               {"num_experts_per_tok", 9, "expected at most the 8 num_experts"},
               {"moe_intermediate_size", "a", "'moe_intermediate_size' is"},
               {"num_dense_layers", 6, "'num_dense_layers' is 6"},
               {"routed_scaling_factor", 0, "'routed_scaling_factor' is 0"},
               {"use_expert_bias", 1, "'use_expert_bias' is 1"},
               {"architectures",
                {"Lfm2ForCausalLM"},
                "expected \"Lfm2MoeForCausalLM\""}};
  for (auto &[key, value, problem] : cases) {
    json config = configJson();
    config[key] = value;
    EXPECT_NE(problemOf(config).find(problem), std::string::npos)
        << key << ": " << problemOf(config);
  }
}

struct Tensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<uint8_t> data;
};

/// The checkpoint's tensors with the experts of each layer in two.
std::vector<Tensor> fused(const Checkpoint &from) {
  const ModelConfig &config = from.config();
  std::vector<Tensor> result;
  auto append = [&](Tensor &tensor, const std::string &name) {
    llvm::ArrayRef<uint8_t> bytes = from.bytes(name);
    tensor.data.insert(tensor.data.end(), bytes.begin(), bytes.end());
  };
  for (const ExpectedTensor &expected : expectedTensors(config)) {
    if (expected.name.find(".experts.") != std::string::npos)
      continue;
    result.push_back({expected.name, expected.shape, {}});
    append(result.back(), expected.name);
  }
  int64_t h = config.hiddenSize, f = config.expertWidth, e = config.numExperts;
  for (int64_t i = config.numDenseLayers; i < config.numLayers; ++i) {
    std::string base =
        "model.layers." + std::to_string(i) + ".feed_forward.experts.";
    Tensor up{base + "gate_up_proj", {e, 2 * f, h}, {}};
    Tensor down{base + "down_proj", {e, h, f}, {}};
    for (int64_t expert = 0; expert < e; ++expert) {
      append(up, expertTensor(i, expert, "w1"));
      append(up, expertTensor(i, expert, "w3"));
      append(down, expertTensor(i, expert, "w2"));
    }
    result.push_back(std::move(up));
    result.push_back(std::move(down));
  }
  return result;
}

class Layouts : public testing::Test {
protected:
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / "lfmc-experts-test";

  Layouts() : from(llvm::cantFail(Checkpoint::open(source))) {}
  void SetUp() override {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    std::filesystem::copy_file(source + "/config.json",
                               directory / "config.json");
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  DType typeOf(const std::string &name) {
    const TensorInfo *info = from.find(name);
    return info ? info->dtype : DType::BF16;
  }
  void write(const std::vector<Tensor> &tensors) {
    std::vector<TensorSpec> specs;
    for (const Tensor &tensor : tensors)
      specs.push_back({tensor.name, typeOf(tensor.name), tensor.shape});
    auto writer = llvm::cantFail(SafeTensorsWriter::create(
        (directory / "model.safetensors").string(), specs));
    for (const Tensor &tensor : tensors)
      llvm::cantFail(writer->append(tensor.name, tensor.data));
    llvm::cantFail(writer->finish());
  }
  std::string problem() {
    auto opened = Checkpoint::open(directory.string());
    return opened ? "" : llvm::toString(opened.takeError());
  }

  Checkpoint from;
};

TEST_F(Layouts, FusedExpertsAreThoseOfSingleTensors) {
  write(fused(from));
  auto opened = Checkpoint::open(directory.string());
  ASSERT_TRUE(bool(opened)) << llvm::toString(opened.takeError());
  for (const ExpectedTensor &expected : expectedTensors(from.config())) {
    const TensorInfo *info = opened->find(expected.name);
    ASSERT_TRUE(info) << expected.name;
    EXPECT_EQ(info->shape, expected.shape);
    EXPECT_EQ(opened->bytes(expected.name), from.bytes(expected.name))
        << expected.name;
  }
  EXPECT_EQ(opened->find(expertTensor(2, 5, "w3"))->name,
            "model.layers.2.feed_forward.experts.gate_up_proj[5].w3");
}

TEST_F(Layouts, RefusesFusedExpertsThatDoNotFit) {
  std::vector<Tensor> tensors = fused(from);
  Tensor &up = tensors[tensors.size() - 2];
  ASSERT_EQ(up.shape, (std::vector<int64_t>{8, 96, 128}));
  up.shape = {4, 192, 128};
  write(tensors);
  EXPECT_NE(problem().find("gate_up_proj' has shape [4, 192, 128], expected "
                           "[8, 96, 128]"),
            std::string::npos)
      << problem();
}

TEST_F(Layouts, RefusesExpertsInBothLayouts) {
  std::vector<Tensor> tensors = fused(from);
  std::string name = expertTensor(2, 1, "w2");
  tensors.push_back({name, {128, 48}, from.bytes(name).vec()});
  write(tensors);
  EXPECT_NE(problem().find("are the same: '" + name + "'"), std::string::npos)
      << problem();
}

TEST_F(Layouts, RefusesACheckpointThatLacksAnExpert) {
  std::vector<Tensor> tensors;
  for (const ExpectedTensor &expected : expectedTensors(from.config()))
    if (expected.name != expertTensor(3, 7, "w1"))
      tensors.push_back(
          {expected.name, expected.shape, from.bytes(expected.name).vec()});
  write(tensors);
  EXPECT_NE(problem().find("no tensor '" + expertTensor(3, 7, "w1") +
                           "' (layer 3, conv), expected shape [48, 128]"),
            std::string::npos)
      << problem();
}

GgufBuilder gguf(const Checkpoint &from) {
  const ModelConfig &config = from.config();
  GgufBuilder file;
  auto number = [&](const char *key, int64_t value) {
    file.add(std::string("lfm2moe.") + key, uint32_t(value));
  };
  std::vector<int32_t> kv;
  for (LayerType type : config.layerTypes)
    kv.push_back(type == LayerType::Conv ? 0 : config.numKvHeads);
  file.add("general.architecture", "lfm2moe");
  file.add("lfm2moe.attention.head_count_kv", kv);
  number("vocab_size", config.vocabSize);
  number("block_count", config.numLayers);
  number("context_length", config.maxPositionEmbeddings);
  number("embedding_length", config.hiddenSize);
  number("feed_forward_length", config.ffnWidth);
  number("attention.head_count", config.numHeads);
  number("shortconv.l_cache", config.convTaps);
  number("expert_count", config.numExperts);
  number("expert_used_count", config.expertsPerToken);
  number("expert_feed_forward_length", config.expertWidth);
  number("leading_dense_block_count", config.numDenseLayers);
  number("expert_gating_func", 2);
  file.add("lfm2moe.attention.layer_norm_rms_epsilon", float(config.normEps));
  file.add("lfm2moe.rope.freq_base", float(config.ropeTheta));
  return file;
}

/// Name in GGUF files; all experts of a layer are one tensor.
std::string ggufName(std::string name) {
  static const std::pair<const char *, const char *> names[] = {
      {"model.embed_tokens", "token_embd"},
      {"model.embedding_norm", "token_embd_norm"},
      {"model.layers.", "blk."},
      {"operator_norm", "attn_norm"},
      {"conv.in_proj", "shortconv.in_proj"},
      {"conv.conv", "shortconv.conv"},
      {"conv.out_proj", "shortconv.out_proj"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.q_layernorm", "attn_q_norm"},
      {"self_attn.k_layernorm", "attn_k_norm"},
      {"self_attn.out_proj", "attn_output"},
      {"feed_forward.w1", "ffn_gate"},
      {"feed_forward.w3", "ffn_up"},
      {"feed_forward.w2", "ffn_down"},
      {"feed_forward.gate", "ffn_gate_inp"},
      {"feed_forward.expert_bias", "exp_probs_b.bias"}};
  for (auto [from, to] : names)
    if (size_t at = name.find(from); at != std::string::npos)
      name.replace(at, std::string(from).size(), to);
  return name;
}

TEST_F(Layouts, GgufHoldsTheSame) {
  const ModelConfig &config = from.config();
  GgufBuilder file = gguf(from);
  auto add = [&](const std::string &name, std::vector<uint64_t> dims,
                 DType type, std::string data) {
    file.tensors.push_back({name, std::move(dims),
                            type == DType::F32 ? 0u : 30u, std::move(data)});
  };
  auto text = [&](const std::string &name) {
    llvm::ArrayRef<uint8_t> bytes = from.bytes(name);
    return std::string(bytes.begin(), bytes.end());
  };
  for (const ExpectedTensor &expected : expectedTensors(config)) {
    if (expected.name.find(".experts.") != std::string::npos)
      continue;
    std::vector<uint64_t> dims(expected.shape.rbegin(), expected.shape.rend());
    if (dims.size() == 3)
      dims.erase(dims.begin() + 1);
    add(ggufName(expected.name), dims, typeOf(expected.name),
        text(expected.name));
  }
  struct {
    const char *matrix, *name;
  } matrices[] = {{"w1", "gate"}, {"w3", "up"}, {"w2", "down"}};
  for (int64_t i = config.numDenseLayers; i < config.numLayers; ++i)
    for (auto [matrix, name] : matrices) {
      std::string data;
      for (int64_t e = 0; e < config.numExperts; ++e)
        data += text(expertTensor(i, e, matrix));
      uint64_t h = config.hiddenSize, f = config.expertWidth;
      bool down = name == std::string("down");
      add("blk." + std::to_string(i) + ".ffn_" + name + "_exps.weight",
          {down ? f : h, down ? h : f, uint64_t(config.numExperts)},
          DType::BF16, data);
    }
  std::string path = (directory / "moe.gguf").string();
  std::ofstream(path, std::ios::binary) << file.bytes();
  auto opened = Checkpoint::open(path);
  ASSERT_TRUE(bool(opened)) << llvm::toString(opened.takeError());
  EXPECT_EQ(opened->config().numExperts, 8);
  EXPECT_EQ(opened->config().expertWidth, 48);
  EXPECT_EQ(opened->config().numDenseLayers, 2);
  EXPECT_TRUE(opened->config().expertBias);
  for (const ExpectedTensor &expected : expectedTensors(config))
    EXPECT_EQ(opened->bytes(expected.name), from.bytes(expected.name))
        << expected.name;
}

TEST_F(Layouts, RefusesGgufWithAnotherGate) {
  GgufBuilder file = gguf(from);
  file.entries.clear();
  file.add("general.architecture", "lfm2moe");
  file.add("lfm2moe.expert_gating_func", uint32_t(1));
  std::string path = (directory / "softmax.gguf").string();
  std::ofstream(path, std::ios::binary) << file.bytes();
  auto opened = Checkpoint::open(path);
  ASSERT_FALSE(bool(opened));
  std::string text = llvm::toString(opened.takeError());
  EXPECT_NE(text.find("'lfm2moe.expert_gating_func' is 1"), std::string::npos)
      << text;
}

} // namespace
