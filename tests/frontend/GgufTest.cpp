// SPDX-License-Identifier: Apache-2.0
//
// GGUF files of the reference writer and of tests: what is read, and that it is
// the same as from the Hugging Face checkpoint.
#include "frontend/Gguf.h"

#include "GgufBuilder.h"
#include "frontend/Checkpoint.h"
#include "frontend/GgufConfig.h"
#include "frontend/Tokenizer.h"

#include <gtest/gtest.h>

using namespace lfmc;

namespace {

const std::string dataDir = LFMC_TEST_DATA "/gguf/";

GgufHeader parsed(const std::string &bytes) {
  auto header = parseGgufHeader(bytes, bytes.size(), "t.gguf");
  EXPECT_TRUE(bool(header)) << llvm::toString(header.takeError());
  return header ? std::move(*header) : GgufHeader();
}

TEST(Gguf, ReadsEveryTypeOfValue) {
  GgufBuilder file;
  file.add("u8", uint8_t(200)).add("i8", int8_t(-7));
  file.add("u16", uint16_t(65535)).add("i16", int16_t(-300));
  file.add("u32", uint32_t(4000000000)).add("i32", int32_t(-5));
  file.add("u64", uint64_t(1) << 63).add("i64", int64_t(-1) << 40);
  file.add("f32", 1e-5f).add("f64", 0.1).add("yes", true).add("no", false);
  file.add("text", "größe").add("list", std::vector<int32_t>{3, -1});
  file.add("texts", std::vector<std::string>{"a", "", "b c"});
  nlohmann::json wanted = {{"u8", 200},
                           {"i8", -7},
                           {"u16", 65535},
                           {"i16", -300},
                           {"u32", 4000000000},
                           {"i32", -5},
                           {"u64", 1ull << 63},
                           {"i64", -(1ll << 40)},
                           {"f32", 1e-5},
                           {"f64", 0.1},
                           {"yes", true},
                           {"no", false},
                           {"text", "größe"},
                           {"list", {3, -1}},
                           {"texts", {"a", "", "b c"}}};
  EXPECT_EQ(parsed(file.bytes()).metadata, wanted);
  file.version = 2;
  EXPECT_EQ(parsed(file.bytes()).metadata, wanted);
}

TEST(Gguf, ReadsArraysInArrays) {
  using B = GgufBuilder;
  GgufBuilder file;
  std::string inner = B::raw(uint32_t(5)) + B::raw(uint64_t(1)) +
                      B::raw(int32_t(4)); // an array value: type, count, …
  file.entries.push_back(B::text("a") + B::raw(uint32_t(9)) +
                         B::raw(uint32_t(9)) + B::raw(uint64_t(2)) + inner +
                         inner);
  nlohmann::json wanted = {{4}, {4}};
  EXPECT_EQ(parsed(file.bytes()).metadata["a"], wanted);
}

TEST(Gguf, PlacesTensors) {
  GgufBuilder file;
  file.alignment = 64;
  file.add("general.alignment", uint32_t(64));
  file.tensors = {{"b", {4, 3}, 0, std::string(48, 'b')},
                  {"a", {64, 2}, 2, std::string(72, 'a')}, // Q4_0
                  {"v", {5}, 30, std::string(10, 'v')}};   // BF16
  std::string bytes = file.bytes();
  GgufHeader header = parsed(bytes);
  ASSERT_EQ(header.tensors.size(), 3u);
  const TensorInfo &a = header.tensors[1];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, DType::Q4_0);
  EXPECT_EQ(a.shape, (std::vector<int64_t>{2, 64}));
  EXPECT_EQ(a.numElements(), 128);
  EXPECT_EQ(bytes.substr(a.begin, a.numBytes()), std::string(72, 'a'));
  EXPECT_EQ(header.tensors[0].shape, (std::vector<int64_t>{3, 4}));
  const TensorInfo &v = header.tensors[2];
  EXPECT_EQ(v.begin % 64, 0u);
  EXPECT_EQ(bytes.substr(v.begin, v.numBytes()), "vvvvvvvvvv");
}

// The reference writer's file and the Hugging Face checkpoint that it was made
// of are the same to all that comes after.
TEST(Gguf, IsTheCheckpointThatItWasMadeOf) {
  auto file = Checkpoint::open(dataDir + "mini.gguf");
  ASSERT_TRUE(bool(file)) << llvm::toString(file.takeError());
  auto directory = Checkpoint::open(dataDir + "mini");
  ASSERT_TRUE(bool(directory)) << llvm::toString(directory.takeError());
  const ModelConfig &a = file->config(), &b = directory->config();
  EXPECT_EQ(a.vocabSize, b.vocabSize);
  EXPECT_EQ(a.hiddenSize, b.hiddenSize);
  EXPECT_EQ(a.numLayers, b.numLayers);
  EXPECT_EQ(a.layerTypes, b.layerTypes);
  EXPECT_EQ(a.numHeads, b.numHeads);
  EXPECT_EQ(a.numKvHeads, b.numKvHeads);
  EXPECT_EQ(a.headDim, b.headDim);
  EXPECT_EQ(a.ffnWidth, b.ffnWidth);
  EXPECT_EQ(a.convTaps, b.convTaps);
  EXPECT_EQ(a.convBias, b.convBias);
  EXPECT_EQ(a.normEps, b.normEps);
  EXPECT_EQ(a.ropeTheta, b.ropeTheta);
  EXPECT_EQ(a.tieEmbeddings, b.tieEmbeddings);
  EXPECT_EQ(a.maxPositionEmbeddings, b.maxPositionEmbeddings);
  EXPECT_EQ(a.bos, b.bos);
  EXPECT_EQ(a.pad, b.pad);
  EXPECT_EQ(a.eos, b.eos);
  EXPECT_EQ(a.sampling.temperature, b.sampling.temperature);
  EXPECT_EQ(a.sampling.minP, b.sampling.minP);
  EXPECT_EQ(a.sampling.repetitionPenalty, b.sampling.repetitionPenalty);
  EXPECT_EQ(a.sampling.topK, b.sampling.topK);
  EXPECT_EQ(a.notes, b.notes);
  std::vector<ExpectedTensor> expected = expectedTensors(b);
  EXPECT_EQ(file->tensors().tensors().size(), expected.size());
  for (const ExpectedTensor &tensor : expected) {
    ASSERT_TRUE(file->find(tensor.name)) << tensor.name;
    EXPECT_EQ(file->find(tensor.name)->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(file->bytes(tensor.name), directory->bytes(tensor.name))
        << tensor.name;
  }
  EXPECT_FALSE(file->hasTokenizer());
}

TEST(Gguf, TokenizerIsThatOfTokenizerJson) {
  auto file = compileTokenizer(dataDir + "tokenizer.gguf", 4097);
  ASSERT_TRUE(bool(file)) << llvm::toString(file.takeError());
  auto json = compileTokenizer(LFMC_TEST_DATA "/tokenizer/small", 4097);
  ASSERT_TRUE(bool(json)) << llvm::toString(json.takeError());
  EXPECT_EQ(*file, *json) << "the runtime's tables, byte by byte";
}

TEST(Gguf, IsRecognisedByNameOrContents) {
  EXPECT_TRUE(isGguf(dataDir + "mini.gguf"));
  EXPECT_FALSE(isGguf(dataDir + "mini"));
  EXPECT_FALSE(isGguf(dataDir + "mini/config.json"));
  EXPECT_FALSE(isGguf(dataDir + "no.gguf"));
  EXPECT_TRUE(isCheckpoint(dataDir + "mini.gguf"));
  EXPECT_TRUE(isCheckpoint(dataDir + "mini"));
  EXPECT_FALSE(isCheckpoint(dataDir));
}

} // namespace
