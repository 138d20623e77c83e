// SPDX-License-Identifier: Apache-2.0
//
// Malformed GGUF files: each case is a sound file and a change; each is refused
// with a message that names what is wrong.
#include "GgufBuilder.h"
#include "frontend/Checkpoint.h"
#include "frontend/Gguf.h"
#include "frontend/Tokenizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <unistd.h>

using namespace lfmc;

namespace {

using B = GgufBuilder;

/// A model of one layer of each kind with a tokenizer: f32, 2 heads of 4.
GgufBuilder good() {
  GgufBuilder file;
  file.add("general.architecture", "lfm2").add("lfm2.vocab_size", uint32_t(6));
  file.add("lfm2.block_count", uint32_t(2));
  file.add("lfm2.context_length", uint32_t(64));
  file.add("lfm2.embedding_length", uint32_t(8));
  file.add("lfm2.feed_forward_length", uint32_t(16));
  file.add("lfm2.attention.head_count", uint32_t(2));
  file.add("lfm2.attention.head_count_kv", std::vector<int32_t>{0, 1});
  file.add("lfm2.attention.layer_norm_rms_epsilon", 1e-5f);
  file.add("lfm2.rope.freq_base", 1e6f);
  file.add("lfm2.shortconv.l_cache", uint32_t(3));
  file.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "lfm2");
  file.add("tokenizer.ggml.tokens",
           std::vector<std::string>{"<|s|>", "<|e|>", "a", "b", "ab", "[PAD]"});
  file.add("tokenizer.ggml.token_type", std::vector<int32_t>{3, 3, 1, 1, 1, 5});
  file.add("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
  file.add("tokenizer.ggml.bos_token_id", uint32_t(0));
  file.add("tokenizer.ggml.eos_token_id", uint32_t(1));
  auto tensor = [&](std::string name, std::vector<uint64_t> dims) {
    size_t bytes = 4;
    for (uint64_t dim : dims)
      bytes *= dim;
    file.tensors.push_back(
        {name + ".weight", std::move(dims), 0, std::string(bytes, '\0')});
  };
  tensor("token_embd", {8, 6});
  tensor("token_embd_norm", {8});
  for (std::string base : {"blk.0.", "blk.1."}) {
    tensor(base + "attn_norm", {8});
    tensor(base + "ffn_norm", {8});
    tensor(base + "ffn_gate", {8, 16});
    tensor(base + "ffn_up", {8, 16});
    tensor(base + "ffn_down", {16, 8});
  }
  tensor("blk.0.shortconv.in_proj", {8, 24});
  tensor("blk.0.shortconv.conv", {3, 8});
  tensor("blk.0.shortconv.out_proj", {8, 8});
  tensor("blk.1.attn_q", {8, 8});
  tensor("blk.1.attn_k", {8, 4});
  tensor("blk.1.attn_v", {8, 4});
  tensor("blk.1.attn_output", {8, 8});
  tensor("blk.1.attn_q_norm", {4});
  tensor("blk.1.attn_k_norm", {4});
  return file;
}

class TemporaryFile {
public:
  TemporaryFile() {
    path = (std::filesystem::temp_directory_path() /
            ("lfmc-gguf-" + std::to_string(::getpid()) + ".gguf"))
               .string();
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
  void write(const std::string &bytes) const {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  std::string path;
};

/// What a compilation says of the file; empty if nothing.
std::string complaint(const std::string &bytes) {
  TemporaryFile file;
  file.write(bytes);
  auto checkpoint = Checkpoint::open(file.path);
  if (!checkpoint)
    return llvm::toString(checkpoint.takeError());
  auto tokenizer = compileTokenizer(file.path, checkpoint->config().vocabSize);
  return tokenizer ? "" : llvm::toString(tokenizer.takeError());
}

/// Replaces the entry of `key` by the one that `change` adds; without `change`
/// removes it.
void set(GgufBuilder &file, const std::string &key,
         const std::function<void(GgufBuilder &)> &change = nullptr) {
  std::string start = B::text(key);
  for (auto it = file.entries.begin(); it != file.entries.end(); ++it)
    if (it->compare(0, start.size(), start) == 0) {
      file.entries.erase(it);
      break;
    }
  if (change)
    change(file);
}
template <typename T>
std::function<void(GgufBuilder &)> setTo(const std::string &key, T value) {
  return [=](GgufBuilder &file) {
    set(file, key, [&](GgufBuilder &f) { f.add(key, value); });
  };
}
std::function<void(GgufBuilder &)> without(const std::string &key) {
  return [=](GgufBuilder &file) { set(file, key); };
}
/// Changes the tensor `name`.
std::function<void(GgufBuilder &)>
tensor(const std::string &name,
       const std::function<void(GgufBuilder::Tensor &)> &change) {
  return [=](GgufBuilder &file) {
    for (GgufBuilder::Tensor &t : file.tensors)
      if (t.name == name)
        return change(t);
    ADD_FAILURE() << name;
  };
}

struct Case {
  std::string name; // letters and digits
  std::function<void(GgufBuilder &)> change;
  std::string message; // a part of it
};
void PrintTo(const Case &entry, std::ostream *out) { *out << entry.name; }

std::vector<Case> fileCases() {
  const std::string kv = "lfm2.attention.head_count_kv",
                    embd = "token_embd.weight";
  auto rawEntry = [](const std::string &entry) {
    return [=](GgufBuilder &f) { f.entries.push_back(entry); };
  };
  std::string key = B::text("k");
  auto u32 = [](uint32_t v) { return B::raw(v); };
  auto u64 = [](uint64_t v) { return B::raw(v); };
  return {
      {"Version1", [](auto &f) { f.version = 1; },
       "GGUF version 1, expected 2"},
      {"BigEndian", [](auto &f) { f.version = 0x03000000; }, "big-endian"},
      {"DuplicateKey", rawEntry(B::text("lfm2.block_count") + u32(4) + u32(2)),
       "duplicate metadata key 'lfm2.block_count'"},
      {"KeyNotUtf8", rawEntry(B::text("\xff") + u32(4) + u32(2)), "not UTF-8"},
      {"KeyTooLong", rawEntry(u64(uint64_t(1) << 62)),
       "bytes, but the file has"},
      {"ValueType", rawEntry(key + u32(13)), "'k' has a value of type 13"},
      {"BoolOfTwo", rawEntry(key + u32(7) + "\2"), "'k' is 2, expected a bool"},
      {"TextNotUtf8", rawEntry(key + u32(8) + B::text("\xc3")), "not UTF-8"},
      {"TextTooLong", rawEntry(key + u32(8) + u64(UINT64_MAX)),
       "'k' has 18446744073709551615 bytes"},
      {"ArrayTooLong",
       rawEntry(key + u32(9) + u32(10) + u64(uint64_t(1) << 61)),
       "elements of 'k', expected at most"},
      {"ArrayOfNoType", rawEntry(key + u32(9) + u32(99) + u64(1)),
       "elements of type 99"},
      {"ArraysTooDeep",
       rawEntry(key + u32(9) + u32(9) + u64(1) + u32(9) + u64(1) + u32(9) +
                u64(1) + u32(9) + u64(1) + u32(0) + u64(0)),
       "arrays in arrays deeper than"},
      {"Alignment0", setTo("general.alignment", uint32_t(0)),
       "expected a power of two"},
      {"Alignment48", setTo("general.alignment", uint32_t(48)),
       "expected a power of two"},
      {"AlignmentText", setTo("general.alignment", "32"),
       "expected a power of two"},
      {"DuplicateTensor", [](auto &f) { f.tensors.push_back(f.tensors[0]); },
       "duplicate tensor 'token_embd.weight'"},
      {"TensorWithoutName", tensor(embd, [](auto &t) { t.name = ""; }),
       "a tensor without a name"},
      {"NameNotUtf8", tensor(embd, [](auto &t) { t.name = "\x80"; }),
       "not UTF-8"},
      {"NoDimensions", tensor(embd, [](auto &t) { t.dims = {}; }),
       "'token_embd.weight' has 0 dimensions, expected 1 to 4"},
      {"FiveDimensions",
       tensor(embd,
              [](auto &t) {
                t.dims = {1, 1, 1, 1, 1};
              }),
       "has 5 dimensions"},
      {"ZeroDimension",
       tensor(embd,
              [](auto &t) {
                t.dims = {8, 0};
              }),
       "has shape [0, 8], expected dimensions of at least 1"},
      {"NegativeDimension",
       tensor(embd,
              [](auto &t) {
                t.dims = {8, uint64_t(-6)};
              }),
       "has shape [-6, 8]"},
      {"OverflowingShape",
       tensor(embd,
              [](auto &t) {
                t.dims = {1u << 31, 1u << 31, 4};
              }),
       "that fit 64 bits"},
      {"UnknownType", tensor(embd, [](auto &t) { t.type = 1234; }),
       "ggml type 1234 (unknown), expected F32"},
      {"UnreadType", tensor(embd, [](auto &t) { t.type = 10; }),
       "ggml type 10 (Q2_K), expected F32"},
      {"RowsWithoutBlocks", tensor(embd, [](auto &t) { t.type = 2; }),
       "rows of 8 elements, expected a multiple of 32 for Q4_0"},
      {"Unaligned", tensor(embd, [](auto &t) { t.offset = 8; }),
       "at offset 8, expected a multiple of 32"},
      {"PastTheEnd", tensor(embd, [](auto &t) { t.offset = 1 << 20; }),
       "192 bytes at offset 1048576, but the file holds"},
      {"OffsetOverflows",
       tensor(embd, [](auto &t) { t.offset = INT64_MAX - 31; }),
       "but the file holds"},
      {"Overlap",
       tensor("token_embd_norm.weight", [](auto &t) { t.offset = 32; }),
       "tensors 'token_embd.weight' and 'token_embd_norm.weight' overlap"}};
}

std::vector<Case> modelCases() {
  const std::string kv = "lfm2.attention.head_count_kv";
  return {
      {"OtherArchitecture", setTo("general.architecture", "llama"),
       "'general.architecture' is 'llama', expected 'lfm2'"},
      {"MixtureOfExperts", setTo("general.architecture", "lfm2moe"),
       "no 'lfm2moe.expert_count'"},
      {"NoArchitecture", without("general.architecture"),
       "no 'general.architecture'"},
      {"OnePart", setTo("split.count", uint16_t(3)), "one of 3 parts"},
      {"Bidirectional", setTo("lfm2.attention.causal", false),
       "bidirectional models are not supported"},
      {"Window", setTo("lfm2.attention.sliding_window", uint32_t(30)),
       "'lfm2.attention.sliding_window' is 30"},
      {"Scaling", setTo("lfm2.rope.scaling.type", "yarn"),
       "'lfm2.rope.scaling.type' is 'yarn'"},
      {"PartialRope", setTo("lfm2.rope.dimension_count", uint32_t(2)),
       "'lfm2.rope.dimension_count' is 2, expected 4, the size of a head"},
      {"NoLayers", without("lfm2.block_count"), "no 'lfm2.block_count'"},
      {"NoTheta", without("lfm2.rope.freq_base"), "no 'lfm2.rope.freq_base'"},
      {"NoWidth", without("lfm2.embedding_length"),
       "no 'lfm2.embedding_length'"},
      {"HugeWidth", setTo("lfm2.embedding_length", uint32_t(-1)),
       "'lfm2.embedding_length' is 4294967295, expected an integer from 1"},
      {"EpsilonNan", setTo("lfm2.attention.layer_norm_rms_epsilon", NAN),
       "'lfm2.attention.layer_norm_rms_epsilon' is"},
      {"TextForNumber", setTo("lfm2.shortconv.l_cache", "3"),
       "'lfm2.shortconv.l_cache' is \"3\", expected an integer"},
      {"TooFewKvHeads", setTo(kv, std::vector<int32_t>{1}), "has 1 entries"},
      {"TwoKvHeads", setTo(kv, std::vector<int32_t>{2, 1}),
       "has 2 and 1 heads, expected one number"},
      {"NegativeKvHeads", setTo(kv, std::vector<int32_t>{0, -1}),
       "is -1, expected an integer from 1"},
      {"BosOutOfRange", setTo("tokenizer.ggml.bos_token_id", uint32_t(6)),
       "'tokenizer.ggml.bos_token_id' is 6"},
      {"MissingTensor",
       tensor("blk.1.attn_q.weight", [](auto &t) { t.name = "other"; }),
       "no tensor 'model.layers.1.self_attn.q_proj.weight' (layer 1, "
       "full_attention)"},
      {"ExtraTensor",
       [](auto &f) {
         f.tensors.push_back({"dense_2.weight", {1}, 0, "0000"});
       },
       "unexpected tensor 'dense_2.weight' [1]"},
      {"WrongShape",
       tensor("blk.1.attn_k.weight",
              [](auto &t) {
                t.dims = {4, 8};
              }),
       "tensor 'blk.1.attn_k.weight' (layer 1, full_attention) has shape [8, "
       "4]"},
      {"IntegerTensor",
       tensor("blk.1.attn_k.weight", [](auto &t) { t.type = 26; }),
       "has dtype I32"},
      {"SameTensor",
       [](auto &f) {
         f.tensors.push_back(
             {"output_norm.weight", {8}, 0, std::string(32, 0)});
       },
       "'token_embd_norm.weight' and 'output_norm.weight' are the same"},
      {"TokenizerModel", setTo("tokenizer.ggml.model", "llama"),
       "'tokenizer.ggml.model' is 'llama', expected 'gpt2'"},
      {"PreTokenizer", setTo("tokenizer.ggml.pre", "qwen2"),
       "'tokenizer.ggml.pre' is 'qwen2', expected 'lfm2'"},
      {"NoTokens", without("tokenizer.ggml.tokens"),
       "'tokenizer.ggml.tokens' is missing"},
      {"TokenTypes",
       setTo("tokenizer.ggml.token_type", std::vector<int32_t>{1}),
       "expected an array of 6 entries"},
      {"TokenType",
       setTo("tokenizer.ggml.token_type",
             std::vector<int32_t>{3, 3, 1, 1, 6, 5}),
       "token 4 has type 6"},
      {"SameTokens",
       setTo("tokenizer.ggml.tokens",
             std::vector<std::string>{"<|s|>", "<|e|>", "a", "a", "ab", "x"}),
       "token 3 is \"a\", which token 2 is, too"},
      {"TooManyTokens",
       setTo("tokenizer.ggml.tokens", std::vector<std::string>(7, "a")),
       "token_type"},
      {"UnknownMerge",
       setTo("tokenizer.ggml.merges", std::vector<std::string>{"a c"}),
       "merges[0]: \"c\" is not in the vocabulary"},
      {"NoBos",
       [](auto &f) {
         set(f, "tokenizer.ggml.bos_token_id");
         f.add("tokenizer.ggml.add_bos_token", true);
       },
       "'tokenizer.ggml.add_bos_token' is set, but there is no"}};
}

class GgufHostile : public testing::TestWithParam<Case> {};

TEST_P(GgufHostile, IsRefusedByName) {
  GgufBuilder file = good();
  GetParam().change(file);
  std::string text = complaint(file.bytes());
  EXPECT_NE(text.find(GetParam().message), std::string::npos)
      << "expected: " << GetParam().message << "\nfound: " << text;
  EXPECT_NE(text.find(".gguf'"), std::string::npos) << text;
  EXPECT_LT(text.size(), 4000u);
  EXPECT_EQ(text.find_first_of("\x1b\r\t\x7f"), std::string::npos) << text;
}

auto nameOf = [](const auto &info) { return info.param.name; };
INSTANTIATE_TEST_SUITE_P(File, GgufHostile, testing::ValuesIn(fileCases()),
                         nameOf);
INSTANTIATE_TEST_SUITE_P(Model, GgufHostile, testing::ValuesIn(modelCases()),
                         nameOf);

TEST(GgufSuite, GoodFileIsAccepted) {
  EXPECT_EQ(complaint(good().bytes()), "");
}

TEST(GgufSuite, OtherFilesAreRefused) {
  EXPECT_NE(complaint("not at all").find("does not begin with 'GGUF'"),
            std::string::npos);
}

TEST(GgufSuite, EveryTruncationIsRefused) {
  std::string whole = good().bytes();
  for (size_t length = 0; length < whole.size(); ++length) {
    auto header =
        parseGgufHeader(llvm::StringRef(whole).take_front(length), length, "t");
    ASSERT_FALSE(bool(header)) << length;
    llvm::consumeError(header.takeError());
  }
}

// Bytes of the header at random: refused or still a sound table, never a crash
// or a range outside of the file.
TEST(GgufSuite, DamagedHeadersStayInBounds) {
  std::string whole = good().bytes();
  size_t headerEnd =
      parseGgufHeader(whole, whole.size(), "t")->tensors.front().begin;
  uint64_t state = 12345;
  auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  int refused = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = whole;
    for (uint64_t i = 0; i <= random(3); ++i)
      damaged[random(headerEnd)] = char(random(256));
    auto header = parseGgufHeader(damaged, damaged.size(), "t");
    if (!header) {
      llvm::consumeError(header.takeError());
      ++refused;
      continue;
    }
    for (const TensorInfo &info : header->tensors) {
      ASSERT_LE(info.begin, info.end);
      ASSERT_LE(info.end, damaged.size());
    }
  }
  EXPECT_GT(refused, 1000);
}

} // namespace
