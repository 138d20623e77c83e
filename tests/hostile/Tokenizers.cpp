// SPDX-License-Identifier: Apache-2.0
//
// Wrong tokenizer files.
#include "HostileCases.h"

using nlohmann::json;

namespace lfmc::hostile {
namespace {

constexpr const char *fileName = "tokenizer.json";

Case with(const char *name, std::function<void(const Path &)> mutate,
          std::vector<std::string> message) {
  message.push_back(fileName);
  return {name, Stage::Tokenizer, Base::Single, std::move(mutate),
          std::move(message)};
}

Case edit(const char *name, std::function<void(json &)> edit,
          std::vector<std::string> message) {
  return with(
      name, [edit](const Path &dir) { editJson(dir / fileName, edit); },
      std::move(message));
}

Case model(const char *name, std::function<void(json &)> change,
           std::vector<std::string> message) {
  return edit(
      name, [change](json &t) { change(t["model"]); }, std::move(message));
}

Case firstMerge(const char *name, json merge,
                std::vector<std::string> message) {
  message.push_back("merges");
  return model(
      name, [merge](json &m) { m["merges"][0] = merge; }, std::move(message));
}

} // namespace

std::vector<Case> tokenizerCases() {
  return {
      with("TokenizerIsADirectory",
           [](const Path &dir) {
             std::filesystem::remove(dir / fileName);
             std::filesystem::create_directory(dir / fileName);
           },
           {"is not a regular file"}),
      with("TokenizerEmpty",
           [](const Path &dir) { writeFile(dir / fileName, ""); },
           {"is empty"}),
      with("TokenizerTruncated",
           [](const Path &dir) {
             std::string text = readFile(dir / fileName);
             writeFile(dir / fileName, text.substr(0, text.size() - 20));
           },
           {"invalid JSON"}),
      with("TokenizerTooDeep",
           [](const Path &dir) {
             writeFile(dir / fileName,
                       "{\"model\":" + std::string(2'000'000, '['));
           },
           {"nesting deeper than 32"}),
      with("TokenizerNotUtf8",
           [](const Path &dir) {
             replaceInFile(dir / fileName, "<|pad|>", "<|p\xc3(|>");
           },
           {"invalid JSON"}),
      with("TokenizerIsArray",
           [](const Path &dir) { writeFile(dir / fileName, "[]"); },
           {"expected an object"}),
      with("VocabularyTokenTwice",
           [](const Path &dir) {
             replaceInFile(dir / fileName, "\"vocab\": {",
                           "\"vocab\": {\"a\": 3, \"a\": 4,");
           },
           {"duplicate key 'a'"}),
      edit("ModelMissing", [](json &t) { t.erase("model"); }, {"model"}),
      model("ModelIsUnigram", [](json &m) { m["type"] = "Unigram"; },
            {"model.type", "Unigram"}),
      model("ModelHasByteFallback", [](json &m) { m["byte_fallback"] = true; },
            {"byte_fallback"}),
      model("ModelHasDropout", [](json &m) { m["dropout"] = 0.1; },
            {"dropout"}),
      model("VocabMissing", [](json &m) { m.erase("vocab"); }, {"vocab"}),
      model("VocabIsArray",
            [](json &m) {
              m["vocab"] = {"a", "b"};
            },
            {"vocab"}),
      model("VocabEmpty", [](json &m) { m["vocab"] = json::object(); },
            {"vocab"}),
      model("TokenIdNegative", [](json &m) { m["vocab"]["a"] = -1; },
            {"vocab", "-1"}),
      model("TokenIdFraction", [](json &m) { m["vocab"]["a"] = 7.5; },
            {"vocab", "7.5"}),
      model("TokenIdIsString", [](json &m) { m["vocab"]["a"] = "7"; },
            {"vocab"}),
      model("TokenIdBeyondVocabulary", [](json &m) { m["vocab"]["a"] = 512; },
            {"vocab", "512"}),
      model("TokenIdBeyond63Bits",
            [](json &m) { m["vocab"]["a"] = UINT64_MAX; },
            {"vocab", "18446744073709551615"}),
      model("TokenIdTwice", [](json &m) { m["vocab"]["a"] = m["vocab"]["b"]; },
            {"belongs to two tokens"}),
      model("MergesAreObject", [](json &m) { m["merges"] = json::object(); },
            {"merges", "expected a list"}),
      model("MergeTwice", [](json &m) { m["merges"][1] = m["merges"][0]; },
            {"merges[1]", "occurs twice"}),
      firstMerge("MergeOfItself", {"", "a"}, {"expected two tokens"}),
      firstMerge("MergeOfOne", {"a"}, {"expected two tokens"}),
      firstMerge("MergeOfThree", {"a", "b", "c"}, {"expected two tokens"}),
      firstMerge("MergeOfNumbers", {1, 2}, {"expected two tokens"}),
      firstMerge("MergeWithoutSpace", "ab", {"expected two tokens"}),
      firstMerge("MergeOfUnknownToken", {"a", "\xe2\x98\x83"},
                 {"is not in the vocabulary"}),
      // "\x41\x51\x51" is made of known bytes, but no token
      firstMerge("MergeToUnknownToken", {"Q", "Q"},
                 {"\"QQ\" is not in the vocabulary"}),
      edit("AddedTokenIdBeyondVocabulary",
           [](json &t) { t["added_tokens"][0]["id"] = 100000; },
           {"added_tokens[0]", "100000"}),
      edit("AddedTokenIdTaken",
           [](json &t) { t["added_tokens"][0]["id"] = 20; },
           {"added_tokens[0]"}),
      edit("AddedTokenTwice",
           [](json &t) { t["added_tokens"][1] = t["added_tokens"][0]; },
           {"added_tokens[1]", "occurs twice"}),
      edit("AddedTokenEmpty",
           [](json &t) { t["added_tokens"][0]["content"] = ""; },
           {"added_tokens[0]"}),
      edit("AddedTokensAreObject",
           [](json &t) { t["added_tokens"] = json::object(); },
           {"added_tokens", "expected a list"}),
      edit("Normalizer",
           [](json &t) {
             t["normalizer"] = {{"type", "NFC"}};
           },
           {"normalizer", "NFC"}),
      edit("PreTokenizerMissing", [](json &t) { t["pre_tokenizer"] = nullptr; },
           {"pre_tokenizer"}),
      edit("PreTokenizerUnknown",
           [](json &t) {
             t["pre_tokenizer"] = {{"type", "Whitespace"}};
           },
           {"pre_tokenizer", "Whitespace"}),
      edit("PreTokenizerOtherRegex",
           [](json &t) {
             t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] =
                 "(a*)*b";
           },
           {"pre_tokenizer", "(a*)*b"}),
      edit("DecoderUnknown",
           [](json &t) {
             t["decoder"] = {{"type", "WordPiece"}};
           },
           {"decoder", "WordPiece"}),
      edit("TemplateOfUnknownIds",
           [](json &t) {
             t["post_processor"]["processors"][1]["special_tokens"] =
                 json::object();
           },
           {"post_processor"}),
  };
}

} // namespace lfmc::hostile
