// SPDX-License-Identifier: Apache-2.0
#include "frontend/Synth.h"

#include "frontend/Checkpoint.h"
#include "frontend/SynthTokenizer.h"
#include "frontend/Tokenizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

using namespace lfmc;
namespace fs = std::filesystem;

namespace {

class Synth : public testing::Test {
protected:
  void SetUp() override {
    const auto *info = testing::UnitTest::GetInstance()->current_test_info();
    root = fs::path(testing::TempDir()) /
           (std::string("lfmc-synth-") + info->name() +
            std::to_string(::getpid()));
    fs::create_directories(root);
  }
  void TearDown() override { fs::remove_all(root); }

  std::string dir(const char *name) const { return (root / name).string(); }

  Checkpoint make(const SynthOptions &options, const char *name) {
    if (llvm::Error error = synthesize(options, dir(name)))
      ADD_FAILURE() << llvm::toString(std::move(error));
    auto checkpoint = Checkpoint::open(dir(name));
    if (!checkpoint) {
      ADD_FAILURE() << llvm::toString(checkpoint.takeError());
      std::abort();
    }
    return std::move(*checkpoint);
  }

  std::string message(const SynthOptions &options, const char *name) {
    llvm::Error error = synthesize(options, dir(name));
    return error ? llvm::toString(std::move(error)) : "no error";
  }

  fs::path root;
};

std::string contents(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

SynthOptions tiny() {
  SynthOptions options;
  options.preset = "tiny";
  return options;
}

TEST_F(Synth, PresetsHaveThePublishedParameterCounts) {
  const std::map<std::string, std::pair<int64_t, int64_t>> wanted{
      {"350m", {354'483'968, 4608}},
      {"700m", {742'489'344, 6912}},
      {"1.2b", {1'170'340'608, 8192}},
      {"2.6b", {2'569'272'320, 10752}},
      {"2.5-230m", {229'693'184, 2560}},
      {"2.5-2.6b", {2'697'198'592, 10752}},
      {"8b-a1b", {8'339'930'560, 7168}},
      {"2.5-8b-a1b", {8'467'856'832, 7168}},
      {"24b-a2b", {23'843'661'440, 11776}},
  };
  EXPECT_EQ(synthPresets().size(), wanted.size() + 1);
  for (const auto &[name, numbers] : wanted) {
    SynthOptions options;
    options.preset = name;
    auto text = synthConfigJson(options);
    ASSERT_TRUE(bool(text)) << llvm::toString(text.takeError());
    auto config =
        ModelConfig::parse(nlohmann::json::parse(*text), "config.json");
    ASSERT_TRUE(bool(config)) << llvm::toString(config.takeError());
    EXPECT_EQ(config->parameterCount(), numbers.first) << name;
    EXPECT_EQ(config->ffnWidth, numbers.second) << name;
  }
}

TEST_F(Synth, TinyOpensInEveryFormat) {
  for (DType type : {DType::F32, DType::F16, DType::BF16}) {
    SynthOptions options = tiny();
    options.dtype = type;
    Checkpoint checkpoint = make(options, dtypeName(type).str().c_str());
    for (const TensorInfo &info : checkpoint.tensors().tensors())
      EXPECT_EQ(info.dtype, type);
    EXPECT_EQ(checkpoint.config().numAttentionLayers(), 1);
    EXPECT_TRUE(checkpoint.config().notes.empty());
    EXPECT_TRUE(checkpoint.hasTokenizer());
  }
}

TEST_F(Synth, DimensionsCanBeChanged) {
  SynthOptions options = tiny();
  options.layers = 7;
  options.hidden = 96;
  options.heads = 6;
  options.kvHeads = 3;
  options.headDim = 24;
  options.ffn = 100;
  options.vocab = 1000;
  options.convTaps = 5;
  options.convBias = options.untied = true;
  ModelConfig config = make(options, "d").config();
  EXPECT_EQ(config.numLayers, 7);
  EXPECT_EQ(config.numAttentionLayers(), 2);
  EXPECT_EQ(config.headDim, 24);
  EXPECT_EQ(config.ffnWidth, 100);
  EXPECT_EQ(config.convTaps, 5);
  EXPECT_TRUE(config.convBias);
  EXPECT_FALSE(config.tieEmbeddings);
}

TEST_F(Synth, SeedDecidesEverything) {
  SynthOptions options = tiny();
  options.hidden = 512; // w1 is larger than one block of the generator
  options.ffn = 1024;
  options.threads = 1;
  make(options, "a");
  options.threads = 3;
  make(options, "b");
  options.seed = 1;
  make(options, "c");
  for (const char *file :
       {"model.safetensors", "tokenizer.json", "config.json"})
    EXPECT_EQ(contents(root / "a" / file), contents(root / "b" / file)) << file;
  for (const char *file : {"model.safetensors", "tokenizer.json"})
    EXPECT_NE(contents(root / "a" / file), contents(root / "c" / file)) << file;
}

TEST_F(Synth, ShardsHoldTheSameTensors) {
  SynthOptions options = tiny();
  Checkpoint single = make(options, "single");
  options.maxShardBytes = 100'000;
  Checkpoint sharded = make(options, "sharded");
  EXPECT_GT(sharded.tensors().numFiles(), 2u);
  for (const TensorInfo &info : single.tensors().tensors())
    EXPECT_EQ(single.bytes(info.name), sharded.bytes(info.name)) << info.name;
}

TEST_F(Synth, WeightsHaveTheStatedDistribution) {
  SynthOptions options = tiny();
  options.dtype = DType::F32;
  options.hidden = 256;
  Checkpoint checkpoint = make(options, "d");
  auto check = [&](const char *name, double mean, double std) {
    auto bytes = checkpoint.bytes(name);
    std::vector<float> values(bytes.size() / 4);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    double sum = 0, squares = 0, fourth = 0;
    for (float value : values) {
      double centred = value - mean;
      sum += centred;
      squares += centred * centred;
      fourth += std::pow(centred, 4);
    }
    auto n = double(values.size());
    double error = 4 / std::sqrt(n); // four standard errors
    EXPECT_NEAR(sum / n, 0, error * std) << name;
    EXPECT_NEAR(squares / n, std * std, 2 * error * std * std) << name;
    EXPECT_NEAR(fourth / n / std::pow(std, 4), 3, 10 * error) << name;
  };
  check("model.layers.0.conv.in_proj.weight", 0, 1 / 16.);
  check("model.layers.2.feed_forward.w2.weight", 0, 1 / std::sqrt(160.));
  check("model.layers.1.conv.conv.weight", 0, 1 / std::sqrt(3.));
  check("model.embedding_norm.weight", 1, 0.05);
}

TEST_F(Synth, ErrorsLeaveNothingBehind) {
  SynthOptions options = tiny();
  options.preset = "3b";
  EXPECT_NE(message(options, "x").find("no preset '3b', expected one of 350m"),
            std::string::npos);
  options = tiny();
  options.preset = "350m";
  options.hidden = 64;
  EXPECT_NE(message(options, "x").find("'tiny' only"), std::string::npos);
  options = tiny();
  options.preset = "350m";
  options.layers = 99;
  EXPECT_NE(message(options, "x").find("expected 1 to 16 layers"),
            std::string::npos);
  options.layers = 2;
  options.experts = 8;
  EXPECT_NE(message(options, "x").find("'350m' has no experts"),
            std::string::npos);
  options = tiny();
  options.dtype = DType::I8;
  EXPECT_NE(message(options, "x").find("type I8"), std::string::npos);
  options = tiny();
  options.layers = 5000000000;
  EXPECT_NE(message(options, "x").find("'num_hidden_layers' is 5000000000"),
            std::string::npos);
  options = tiny();
  options.vocab = 100;
  EXPECT_NE(message(options, "x").find("a vocabulary of 100 ids"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(dir("x")));

  fs::create_directories(dir("full"));
  std::ofstream(dir("full") + "/precious") << "data";
  EXPECT_NE(message(tiny(), "full").find("is not empty"), std::string::npos);
  EXPECT_EQ(contents(root / "full" / "precious"), "data");
  EXPECT_NE(message(tiny(), "full/precious/x").find("cannot create"),
            std::string::npos);
}

TEST(SynthTokenizerTest, IdsAreCompleteAndMergesBuildTokens) {
  SynthTokenizer tokenizer = SynthTokenizer::small(3000);
  nlohmann::json file = nlohmann::json::parse(tokenizer.json());
  const nlohmann::json &vocab = file["model"]["vocab"];
  ASSERT_EQ(vocab.size(), 3000u);
  std::set<int64_t> ids;
  for (const auto &[text, id] : vocab.items())
    ids.insert(id.get<int64_t>());
  EXPECT_EQ(*ids.begin(), 0);
  EXPECT_EQ(*ids.rbegin(), 2999);
  EXPECT_EQ(ids.size(), 3000u);
  // Everything but added tokens and bytes is the product of a merge, and a
  // merge joins tokens that exist before it.
  std::set<std::string> made;
  for (const auto &merge : file["model"]["merges"]) {
    auto left = merge[0].get<std::string>(),
         right = merge[1].get<std::string>();
    ASSERT_TRUE(vocab.contains(left) && vocab.contains(right));
    ASSERT_TRUE(vocab.contains(left + right));
    EXPECT_LT(vocab[left], vocab[left + right]);
    EXPECT_LT(vocab[right], vocab[left + right]);
    made.insert(left + right);
  }
  EXPECT_EQ(made.size() + 256 + tokenizer.added.size(), 3000u);
  EXPECT_EQ(vocab["<|im_end|>"], 7);
  EXPECT_TRUE(vocab.contains("\xc4\xa0the")); // " the"
}

TEST(SynthTokenizerTest, KnownIdsOfTheLargeVocabularies) {
  SynthTokenizer t65 = SynthTokenizer::vocab65k(true);
  EXPECT_EQ(t65.size, 64402);
  EXPECT_EQ(t65.added.at(396), "<image>");
  EXPECT_EQ(t65.added.at(64400), "<think>");
  EXPECT_EQ(SynthTokenizer::vocab65k(false).size, 64400);
  SynthTokenizer t128 = SynthTokenizer::vocab128k();
  EXPECT_EQ(t128.size, 125031);
  EXPECT_EQ(t128.added.at(124893), "<|pad|>");
  EXPECT_EQ(t128.added.at(124900), "<|im_end|>");
  EXPECT_EQ(t128.added.at(124907), "<image>");
  for (const SynthTokenizer &t : {t65, t128}) {
    std::set<std::string> texts;
    for (const auto &[id, text] : t.added)
      EXPECT_TRUE(texts.insert(text).second) << text;
  }
}

TEST_F(Synth, TokenizerOfFullSizeCompiles) {
  SynthTokenizer tokenizer = SynthTokenizer::vocab65k(true);
  std::ofstream(root / "tokenizer.json") << tokenizer.json();
  auto tables = compileTokenizer(root.string(), 65536);
  ASSERT_TRUE(bool(tables)) << llvm::toString(tables.takeError());
  auto file = nlohmann::json::parse(contents(root / "tokenizer.json"));
  EXPECT_EQ(int64_t(file["model"]["vocab"].size()), tokenizer.size);
  auto tooSmall = compileTokenizer(root.string(), tokenizer.size - 1);
  ASSERT_FALSE(bool(tooSmall));
  llvm::consumeError(tooSmall.takeError());
}

} // namespace
