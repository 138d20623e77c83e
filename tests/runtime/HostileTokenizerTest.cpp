// SPDX-License-Identifier: Apache-2.0
//
// Tokenizers that must be refused, with a message that says what is wrong, and
// unusual ones that must not be.
#include "TokenizerFixture.h"

namespace {

using nlohmann::json;

class HostileTokenizer : public testing::Test {
protected:
  HostileTokenizer() {
    root = json::parse(R"({
      "normalizer": null,
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "post_processor": null, "decoder": {"type": "ByteLevel"},
      "added_tokens": [{"id": 5, "content": "<s>", "special": true}],
      "model": {"type": "BPE",
                "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4},
                "merges": ["a b", ["ab", "c"]]}})");
  }

  CompiledTokenizer compile(int64_t vocab = 8) {
    dir.write("tokenizer.json", root.dump());
    return CompiledTokenizer(dir.path, vocab);
  }

  void expectError(const std::string &text, const std::string &part,
                   int64_t vocab = 8) {
    dir.write("tokenizer.json", text);
    auto compiled = lfmc::compileTokenizer(dir.path, vocab);
    ASSERT_FALSE(bool(compiled)) << part;
    std::string message = llvm::toString(compiled.takeError());
    EXPECT_NE(message.find(part), std::string::npos) << message;
    // The size is the caller's, not the file's.
    EXPECT_NE(message.find(vocab ? "tokenizer.json" : dir.path),
              std::string::npos)
        << message;
  }
  /// With the value at `pointer` replaced.
  void expectError(const char *pointer, const char *value,
                   const std::string &part) {
    json changed = root;
    changed[json::json_pointer(pointer)] = json::parse(value);
    expectError(changed.dump(), part);
  }

  TemporaryDir dir;
  json root;
};

TEST_F(HostileTokenizer, TheBaseIsGood) {
  CompiledTokenizer t = compile();
  EXPECT_EQ(t.encode("abc<s>cab"), Ids({4, 5, 3, 2}));
  EXPECT_EQ(t.encode("xabyb"), Ids({2, 1})); // bytes without a token vanish
}

TEST_F(HostileTokenizer, BrokenJson) {
  std::string good = root.dump();
  for (size_t bytes = 1; bytes < good.size(); bytes += 7)
    expectError(good.substr(0, bytes), "invalid JSON");
  expectError("", "empty");
  expectError(good + "}", "invalid JSON");
  expectError("[]", "expected an object, found array");
  expectError("nul", "invalid JSON");
  expectError("{\"model\": {\"vocab\": {\"\xff\": 0}}}", "invalid");
  expectError(std::string(100000, '['), "nest");
  expectError("{\"a\": 1, \"a\": 2}", "duplicate key");
}

TEST_F(HostileTokenizer, MissingFile) {
  auto compiled = lfmc::compileTokenizer(dir.path, 8);
  ASSERT_FALSE(bool(compiled));
  EXPECT_NE(llvm::toString(compiled.takeError()).find("tokenizer.json"),
            std::string::npos);
}

TEST_F(HostileTokenizer, Vocabulary) {
  expectError("/model/vocab", "{}", "model.vocab");
  expectError("/model/vocab", "[]", "model.vocab");
  expectError("/model/vocab/a", "-1", "found -1");
  expectError("/model/vocab/a", "8", "in 0..7 (vocab_size 8), found 8");
  expectError("/model/vocab/a", "1e30", "model.vocab");
  expectError("/model/vocab/a", "0.5", "found 0.5");
  expectError("/model/vocab/a", "\"0\"", "model.vocab");
  expectError("/model/vocab/a", "4294967296", "4294967296");
  expectError("/model/vocab/a", "18446744073709551615", "18446744073709551615");
  expectError("/model/vocab/a", "1", "id 1 belongs to two tokens");
  json huge = root;
  std::string text = huge.dump();
  text.replace(text.find("\"a\":0"), 5, "\"a\":1e999");
  expectError(text, "1e999");
  expectError(root.dump(), "vocab_size 5", 5); // "<s>" has no row
  expectError(root.dump(), "found 0", 0);
  huge["model"]["vocab"][std::string(70000, 'x')] = 6;
  expectError(huge.dump(), "at most 65536 bytes, found 70000");
}

TEST_F(HostileTokenizer, Merges) {
  expectError("/model/merges", "null", "model.merges");
  expectError("/model/merges/0", "\"a z\"", "model.merges[0]: \"z\"");
  expectError("/model/merges/0", "\"b a\"", "\"ba\" is not in the vocabulary");
  expectError("/model/merges/1", "\"a b\"", "occurs twice");
  expectError("/model/merges/0", "\"ab\"", "expected two tokens");
  expectError("/model/merges/0", "\"a b c\"", "expected two tokens");
  expectError("/model/merges/0", "\"a \"", "expected two tokens");
  expectError("/model/merges/0", "\" a\"", "expected two tokens");
  expectError("/model/merges/0", "[\"a\"]", "expected two tokens");
  // A cycle needs a token that is its own part.
  expectError("/model/merges/0", "[\"a\", \"\"]", "expected two tokens");
  expectError("/model/merges/0", "[\"\", \"\"]", "expected two tokens");
  expectError("/model/merges/0", "[1, 2]", "expected two tokens");
  expectError("/model/merges/0", "{}", "expected two tokens");
}

TEST_F(HostileTokenizer, AddedTokens) {
  expectError("/added_tokens", "{}", "added_tokens");
  expectError("/added_tokens/0", "7", "added_tokens[0]");
  expectError("/added_tokens/0/content", "\"\"", "content");
  expectError("/added_tokens/0/content", "null", "content");
  expectError("/added_tokens/0/id", "8", "found 8");
  expectError("/added_tokens/0/id", "null", "added_tokens[0].id");
  expectError("/added_tokens/0/id", "1", "belongs to another token");
  expectError("/added_tokens/0/content", "\"ab\"", "gives it 2");
  expectError("/added_tokens/0/lstrip", "1", "lstrip");
  expectError("/added_tokens/1", R"({"id": 6, "content": "<s>"})",
              "occurs twice");
  expectError("/added_tokens/1", R"({"id": 5, "content": "<t>"})",
              "belongs to another token");
}

TEST_F(HostileTokenizer, OtherKindsOfTokenizer) {
  expectError("/model", "[]", "model");
  expectError("/model/type", "\"Unigram\"", "found \"Unigram\"");
  expectError("/model/type", "null", "model.type");
  expectError("/model/dropout", "0.1", "model.dropout");
  expectError("/model/unk_token", "\"<unk>\"", "model.unk_token");
  expectError("/model/byte_fallback", "true", "model.byte_fallback");
  expectError("/model/end_of_word_suffix", "\"</w>\"", "end_of_word_suffix");
  expectError("/model/ignore_merges", "1", "ignore_merges");
  expectError("/normalizer", R"({"type": "NFKC"})", "found NFKC");
  expectError("/decoder", R"({"type": "WordPiece"})", "found WordPiece");
  expectError("/post_processor", R"({"type": "BertProcessing"})",
              "found BertProcessing");
  expectError("/pre_tokenizer", "null", "found none");
  expectError("/pre_tokenizer", R"({"type": "Metaspace"})", "found Metaspace");
  expectError("/pre_tokenizer", R"({"type": "Sequence"})", "pretokenizers");
  expectError("/pre_tokenizer/add_prefix_space", "true", "add_prefix_space");
  const char *split = R"({"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Isolated"},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})";
  expectError("/pre_tokenizer", split, "Split by \"\\\\s+\"");
}

TEST_F(HostileTokenizer, SplitDetails) {
  auto small = readJson(dataPath("tokenizer/small/tokenizer.json"));
  root["pre_tokenizer"] = small["pre_tokenizer"];
  EXPECT_EQ(compile().encode("abc"), Ids({4}));
  expectError("/pre_tokenizer/pretokenizers/0/behavior", "\"Removed\"",
              "Isolated");
  expectError("/pre_tokenizer/pretokenizers/0/invert", "true", "Isolated");
  expectError("/pre_tokenizer/pretokenizers/1/use_regex", "true",
              "expected Split");
}

TEST_F(HostileTokenizer, Templates) {
  auto small = readJson(dataPath("tokenizer/small/tokenizer.json"));
  json good = small["post_processor"]["processors"][1];
  good["special_tokens"]["<|startoftext|>"]["ids"] = {5};
  root["post_processor"] = good;
  EXPECT_EQ(compile().encode("a", LFM_TOKENIZE_ADD_SPECIAL), Ids({5, 0}));
  root["post_processor"]["single"].push_back(good["single"][0]);
  EXPECT_EQ(compile().encode("a", LFM_TOKENIZE_ADD_SPECIAL), Ids({5, 0, 5}));
  root["post_processor"] = good;
  expectError("/post_processor/special_tokens/<|startoftext|>/ids", "[8]",
              "found 8");
  expectError("/post_processor/special_tokens", "{}", "special token");
  expectError("/post_processor/single", "7", "single");
  expectError("/post_processor/single/0", "7", "special token");
}

TEST_F(HostileTokenizer, FilesBesides) {
  dir.write("tokenizer.json", root.dump());
  auto refused = [&](const char *name, const char *text) {
    dir.write(name, text);
    auto compiled = lfmc::compileTokenizer(dir.path, 8);
    ASSERT_FALSE(bool(compiled)) << name;
    std::string message = llvm::toString(compiled.takeError());
    EXPECT_NE(message.find(name), std::string::npos) << message;
    dir.write(name, "{}");
  };
  refused("tokenizer_config.json", "{");
  refused("tokenizer_config.json", "[]");
  refused("special_tokens_map.json", "nonsense");
  dir.write("tokenizer_config.json",
            R"({"bos_token": {"content": "<s>"}, "chat_template": [
                {"name": "other", "template": "no"},
                {"name": "default",
                 "template": "{{bos_token}}<|im_start|><|im_end|>"}]})");
  CompiledTokenizer t(dir.path, 8);
  char text[32];
  size_t bytes;
  ASSERT_EQ(lfm_chat_format(t.tokenizer, nullptr, 0, nullptr, text, sizeof text,
                            &bytes),
            LFM_OK);
  EXPECT_STREQ(text, "<s>");
}

// Both spellings of a merge, also where a token contains the other's separator.
TEST_F(HostileTokenizer, RanksFollowTheOrderOfTheFile) {
  root["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"c", 2}, {"bc", 3}, {"ab", 4}};
  root["model"]["merges"] = json::parse(R"(["b c", "a b"])");
  EXPECT_EQ(compile().encode("abc"), Ids({0, 3}));
  root["model"]["merges"] = json::parse(R"([["a", "b"], ["b", "c"]])");
  EXPECT_EQ(compile().encode("abc"), Ids({4, 2}));
}

TEST_F(HostileTokenizer, AddedTokenRules) {
  root["added_tokens"] = json::parse(R"([
    {"id": 5, "content": "<s>", "special": true, "lstrip": true},
    {"id": 6, "content": "<t>", "special": true, "rstrip": true},
    {"id": 7, "content": "ca", "special": false, "single_word": true,
     "normalized": true}])");
  root["model"]["vocab"]["\u0120"] = 8; // the blank
  CompiledTokenizer t = compile(9);
  EXPECT_EQ(t.encode("a  \u00a0<s> b"), Ids({0, 5, 8, 1}));
  EXPECT_EQ(t.encode("a <t> \u3000 b"), Ids({0, 8, 6, 1}));
  EXPECT_EQ(t.encode("ca b"), Ids({7, 8, 1}));
  EXPECT_EQ(t.encode("<s>ca<t>"), Ids({5, 7, 6}));
  EXPECT_EQ(t.encode("cab bca"), Ids({3, 2, 8, 1, 3, 0}));
  EXPECT_EQ(t.encode("\u00e9ca"), Ids({3, 0})); // é is a word character
  EXPECT_EQ(t.encode("ca", 0), Ids({7}));       // not special: always found
}

} // namespace
