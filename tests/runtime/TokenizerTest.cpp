// SPDX-License-Identifier: Apache-2.0
#include "TokenizerFixture.h"

#include <chrono>
#include <random>

namespace {

std::string fromHex(const std::string &hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(
        static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

//===----------------------------------------------------------------------===//
// The reference's rows, both ways
//===----------------------------------------------------------------------===//

class Goldens : public testing::TestWithParam<const char *> {
protected:
  CompiledTokenizer t{dataPath(GetParam())};
  nlohmann::json rows = readJson(dataPath(GetParam()) + "/goldens.json");

  void encodeRows(const char *key, size_t atLeast) {
    ASSERT_GE(rows[key].size(), atLeast);
    for (const auto &row : rows[key]) {
      std::string text = fromHex(row["utf8_hex"]);
      Ids ids = row["ids"].get<Ids>();
      EXPECT_EQ(t.encode(text), ids) << text;
      Ids whole =
          t.encode(text, LFM_TOKENIZE_PARSE_SPECIAL | LFM_TOKENIZE_ADD_SPECIAL);
      EXPECT_EQ(whole.size(),
                ids.size() + row["n_special_prefix"].get<size_t>());
      EXPECT_EQ(whole.front(), 1);
      std::string decoded = row["decode"], skipped = row["decode_skip_special"];
      EXPECT_EQ(t.decode(ids), decoded);
      EXPECT_EQ(t.decodeStream(ids), decoded);
      EXPECT_EQ(t.decode(ids, LFM_DETOKENIZE_SKIP_SPECIAL), skipped);
      EXPECT_EQ(t.decodeStream(ids, LFM_DETOKENIZE_SKIP_SPECIAL), skipped);
    }
  }
};

TEST_P(Goldens, Encode) { encodeRows("encode", 260); }

TEST_P(Goldens, Decode) {
  ASSERT_GE(rows["decode"].size(), 98u);
  for (const auto &row : rows["decode"]) {
    Ids ids = row["ids"].get<Ids>();
    EXPECT_EQ(t.decode(ids), row["decode"].get<std::string>());
    EXPECT_EQ(t.decodeStream(ids), row["decode"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, Goldens,
                         testing::Values("tokenizer/small",
                                         "tokenizer/ignore-merges"));

class IgnoreMerges : public Goldens {};
TEST_P(IgnoreMerges, WholeWords) { encodeRows("encode_ignore_merges", 144); }
INSTANTIATE_TEST_SUITE_P(Tokenizer, IgnoreMerges,
                         testing::Values("tokenizer/ignore-merges"));

//===----------------------------------------------------------------------===//
// What the rows do not cover
//===----------------------------------------------------------------------===//

class Tokenizer : public testing::Test {
protected:
  CompiledTokenizer t{dataPath("tokenizer/small")};
};

TEST_F(Tokenizer, SpecialTokensOnlyWhereAllowed) {
  Ids parsed = t.encode("a<|im_end|>b");
  Ids plain = t.encode("a<|im_end|>b", 0);
  EXPECT_EQ(std::count(parsed.begin(), parsed.end(), 7), 1);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 7), 0);
  EXPECT_EQ(t.decode(plain), "a<|im_end|>b");
}

TEST_F(Tokenizer, LooksUpTokens) {
  EXPECT_EQ(lfm_token_find(t.tokenizer, "<|im_start|>", 12), 6);
  EXPECT_EQ(lfm_token_find(t.tokenizer, "<|im_start|", 11), -1);
  int32_t the = lfm_token_find(t.tokenizer, " the", 4);
  ASSERT_GE(the, 0);
  size_t bytes = 0;
  const char *text = lfm_token_bytes(t.tokenizer, the, &bytes);
  EXPECT_EQ(std::string(text, bytes), " the");
  EXPECT_TRUE(lfm_token_is_special(t.tokenizer, 6));
  EXPECT_FALSE(lfm_token_is_special(t.tokenizer, the));
  EXPECT_EQ(lfm_token_bytes(t.tokenizer, -1, &bytes), nullptr);
  EXPECT_EQ(lfm_token_bytes(t.tokenizer, 4096, &bytes), nullptr);
  EXPECT_EQ(lfm_tokenizer_size(t.tokenizer), 4096);
}

TEST_F(Tokenizer, ReportsTheNeededSize) {
  Ids all = t.encode("the quick brown fox");
  ASSERT_GT(all.size(), 2u);
  Ids some(2);
  size_t count = 0;
  EXPECT_EQ(lfm_tokenize(t.tokenizer, "the quick brown fox", 19, 0, some.data(),
                         2, &count),
            LFM_ERROR_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, all.size());
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
  char text[4];
  EXPECT_EQ(
      lfm_detokenize(t.tokenizer, all.data(), all.size(), 0, text, 4, &count),
      LFM_ERROR_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, 19u);
}

TEST_F(Tokenizer, RejectsWrongArguments) {
  size_t count;
  int32_t id;
  EXPECT_EQ(lfm_tokenize(nullptr, "a", 1, 0, &id, 1, &count),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_tokenize(t.tokenizer, nullptr, 1, 0, &id, 1, &count),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_tokenize(t.tokenizer, "a", 1, 8, &id, 1, &count),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_tokenize(t.tokenizer, "a", 1, 0, nullptr, 1, &count),
            LFM_ERROR_INVALID_ARGUMENT);
}

TEST_F(Tokenizer, AnyBytesSurvive) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 40, ' ');
    for (char &c : text)
      c = static_cast<char>(random() % 4 ? random() % 128 : random());
    std::string bytes;
    for (int32_t id : t.encode(text, 0)) {
      size_t n = 0;
      const char *p = lfm_token_bytes(t.tokenizer, id, &n);
      bytes.append(p, n);
    }
    EXPECT_EQ(bytes, text);
  }
}

// A long word takes the heap, a short one the plain search; their tokens must
// not depend on which. Merges never cross what the search already fixed, so the
// tokens of the word's own pieces give the word again.
TEST_F(Tokenizer, LongWordsEqualTheReferenceRule) {
  auto tables = readJson(dataPath("tokenizer/small/tokenizer.json"));
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (const auto &merge : tables["model"]["merges"])
    ranks.emplace(std::make_pair(merge[0], merge[1]), ranks.size());
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    std::string word(1 + random() % 300, 'a');
    const char *letters = round % 2 ? "etaoinshrdlu" : "ab";
    for (char &c : word)
      c = letters[random() % strlen(letters)];
    // The definition: merge the leftmost pair of lowest rank until none is
    // left.
    std::vector<std::string> parts;
    for (char c : word)
      parts.push_back(std::string(1, c));
    for (;;) {
      size_t best = parts.size(), rank = SIZE_MAX;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        auto found = ranks.find({parts[i], parts[i + 1]});
        if (found != ranks.end() && found->second < rank) {
          rank = found->second;
          best = i;
        }
      }
      if (best == parts.size())
        break;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<long>(best) + 1);
    }
    Ids expected;
    for (const std::string &part : parts)
      expected.push_back(tables["model"]["vocab"][part].get<int32_t>());
    // ignore_merges takes a word of the vocabulary whole.
    if (tables["model"]["vocab"].contains(word))
      expected = {tables["model"]["vocab"][word].get<int32_t>()};
    EXPECT_EQ(t.encode(word), expected) << word;
  }
}

TEST_F(Tokenizer, LongWordsAreNotQuadratic) {
  auto seconds = [&](size_t bytes) {
    std::string word;
    std::mt19937 random(1);
    while (word.size() < bytes)
      word.push_back("etaoinshrdlu"[random() % 12]);
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
      auto begin = std::chrono::steady_clock::now();
      EXPECT_FALSE(t.encode(word).empty());
      std::chrono::duration<double> took =
          std::chrono::steady_clock::now() - begin;
      best = std::min(best, took.count());
    }
    return best;
  };
  // 16 times the bytes take some 20 times as long, quadratic would be 256.
  EXPECT_LT(seconds(1 << 20), 80 * seconds(1 << 16));
}

TEST_F(Tokenizer, DamagedTablesAreRefused) {
  const lfm_tokenizer *opened = nullptr;
  for (size_t bytes : {size_t{0}, size_t{8}, size_t{64}, t.block.size() - 1})
    EXPECT_NE(lfm_tokenizer_open(t.block.data(), bytes, &opened), LFM_OK);
  for (size_t at = 0; at < sizeof(uint32_t) * 24; at += 4) {
    std::vector<uint8_t> damaged = t.block;
    damaged[at + 3] ^= 0x7f; // makes an offset, a count or the magic absurd
    lfm_status status =
        lfm_tokenizer_open(damaged.data(), damaged.size(), &opened);
    // Flag words and the template's bits have no wrong values.
    bool free =
        at == 12 || at == 16 || at == 20 || at == 28 || at == 32 || at == 36;
    EXPECT_EQ(status != LFM_OK, !free) << at;
  }
}

} // namespace
