// SPDX-License-Identifier: Apache-2.0
#include "frontend/Checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

using namespace lfmc;

namespace {

const std::string dataDir = LFMC_TEST_DATA "/checkpoints/";

nlohmann::json manifest(const std::string &name) {
  std::ifstream file(LFMC_TEST_DATA "/goldens/" + name + ".json");
  return nlohmann::json::parse(file);
}

class Variants : public testing::TestWithParam<const char *> {};

TEST_P(Variants, OpensWithEveryTensorOfTheManifest) {
  auto checkpoint = Checkpoint::open(dataDir + GetParam());
  ASSERT_TRUE(bool(checkpoint)) << llvm::toString(checkpoint.takeError());
  nlohmann::json wanted = manifest(GetParam())["tensors_on_disk"];
  EXPECT_EQ(checkpoint->tensors().tensors().size(), wanted.size());
  EXPECT_EQ(checkpoint->config().tensorCount(), int64_t(wanted.size()));
  int64_t parameters = 0;
  for (const auto &[name, row] : wanted.items()) {
    const TensorInfo *info = checkpoint->find(name);
    ASSERT_TRUE(info) << name;
    EXPECT_EQ(info->shape, row["shape"].get<std::vector<int64_t>>()) << name;
    EXPECT_EQ(dtypeName(info->dtype), row["dtype"].get<std::string>()) << name;
    EXPECT_EQ(checkpoint->bytes(name).size(), info->numBytes());
    parameters += info->numElements();
  }
  EXPECT_EQ(checkpoint->config().parameterCount(), parameters);
  EXPECT_TRUE(checkpoint->config().notes.empty());
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Variants,
                         testing::Values("dense-a-bf16", "dense-b-bf16",
                                         "dense-b-f32", "dense-b-bf16-sharded",
                                         "dense-b-bf16-legacycfg",
                                         "moe-8e-bf16-biasf32",
                                         "moe-32e-bf16"));

TEST(Checkpoint, ShardsHoldTheSameBytes) {
  auto single = Checkpoint::open(dataDir + "dense-b-bf16");
  auto sharded = Checkpoint::open(dataDir + "dense-b-bf16-sharded");
  ASSERT_TRUE(bool(single) && bool(sharded));
  EXPECT_EQ(sharded->tensors().numFiles(), 5u);
  for (const TensorInfo &info : single->tensors().tensors())
    EXPECT_EQ(single->bytes(info.name), sharded->bytes(info.name)) << info.name;
}

TEST(Checkpoint, BF16TensorsAreTheF32OnesRounded) {
  auto f32 = Checkpoint::open(dataDir + "dense-b-f32");
  auto bf16 = Checkpoint::open(dataDir + "dense-b-bf16");
  ASSERT_TRUE(bool(f32) && bool(bf16));
  const char *name = "model.layers.0.conv.in_proj.weight";
  auto wide = f32->bytes(name), narrow = bf16->bytes(name);
  ASSERT_EQ(wide.size(), 2 * narrow.size());
  for (size_t i = 0; i < narrow.size() / 2; ++i) {
    float value;
    uint16_t half;
    std::memcpy(&value, wide.data() + 4 * i, 4);
    std::memcpy(&half, narrow.data() + 2 * i, 2);
    uint32_t bits = uint32_t(half) << 16;
    float rounded;
    std::memcpy(&rounded, &bits, 4);
    ASSERT_LE(std::abs(rounded - value), std::abs(value) / 256) << i;
  }
}

TEST(Checkpoint, ReleasedPagesReadTheSame) {
  auto checkpoint = Checkpoint::open(dataDir + "dense-b-f32");
  ASSERT_TRUE(bool(checkpoint));
  const SafeTensors &tensors = checkpoint->tensors();
  for (const TensorInfo &info : tensors.tensors()) {
    std::vector<uint8_t> before = tensors.bytes(info).vec();
    tensors.release(info);
    EXPECT_EQ(llvm::ArrayRef<uint8_t>(before), tensors.bytes(info));
  }
}

ModelConfig shape(int64_t hidden, int64_t layers,
                  std::vector<int64_t> attention, int64_t heads, int64_t ffn,
                  int64_t vocab) {
  ModelConfig config;
  config.hiddenSize = hidden;
  config.numLayers = layers;
  config.layerTypes.assign(layers, LayerType::Conv);
  for (int64_t i : attention)
    config.layerTypes[i] = LayerType::FullAttention;
  config.numHeads = heads;
  config.numKvHeads = 8;
  config.headDim = 64;
  config.ffnWidth = ffn;
  config.vocabSize = vocab;
  return config;
}

struct Published {
  const char *name;
  ModelConfig config;
  int64_t parameters, tensors;
};

// The published counts; the table of expected tensors must add up to them.
TEST(Checkpoint, ParameterCountsOfThePublishedModels) {
  const std::vector<int64_t> six{2, 5, 8, 10, 12, 14};
  const std::vector<int64_t> eight{2, 5, 9, 13, 17, 21, 24, 27};
  const Published models[] = {
      {"230M", shape(1024, 14, {2, 4, 6, 8, 10, 12}, 16, 2560, 65536),
       229'693'184, 132},
      {"350M", shape(1024, 16, six, 16, 4608, 65536), 354'483'968, 148},
      {"700M", shape(1536, 16, six, 24, 6912, 65536), 742'489'344, 148},
      {"1.2B", shape(2048, 16, six, 32, 8192, 65536), 1'170'340'608, 148},
      {"2.6B", shape(2048, 30, eight, 32, 10752, 65536), 2'569'272'320, 266},
      {"2.5-2.6B", shape(2048, 30, eight, 32, 10752, 128000), 2'697'198'592,
       266}};
  for (const Published &model : models) {
    EXPECT_EQ(model.config.parameterCount(), model.parameters) << model.name;
    int64_t sum = 0, count = 0;
    for (const ExpectedTensor &tensor : expectedTensors(model.config)) {
      int64_t elements = 1;
      for (int64_t dim : tensor.shape)
        elements *= dim;
      sum += elements;
      ++count;
    }
    EXPECT_EQ(sum, model.parameters) << model.name;
    EXPECT_EQ(count, model.tensors) << model.name;
    EXPECT_EQ(model.config.tensorCount(), model.tensors) << model.name;
  }
  // bytes per token and of the convolutions' state, from the model's reference
  EXPECT_EQ(models[3].config.kvElementsPerToken() * 2, 12'288);
  EXPECT_EQ(models[4].config.kvElementsPerToken() * 2, 16'384);
  EXPECT_EQ(models[3].config.convStateElements() * 2, 81'920);
  EXPECT_EQ(models[4].config.convStateElements() * 2, 180'224);
}

TEST(Checkpoint, BiasesAndUntiedHeadAreExpected) {
  ModelConfig config = shape(128, 3, {1}, 2, 256, 512);
  config.numKvHeads = 2;
  config.convBias = true;
  config.tieEmbeddings = false;
  int64_t sum = 0;
  auto tensors = expectedTensors(config);
  for (const ExpectedTensor &tensor : tensors) {
    int64_t elements = 1;
    for (int64_t dim : tensor.shape)
      elements *= dim;
    sum += elements;
  }
  EXPECT_EQ(sum, config.parameterCount());
  EXPECT_EQ(int64_t(tensors.size()), config.tensorCount());
  EXPECT_EQ(tensors.back().name, "lm_head.weight");
}

} // namespace
