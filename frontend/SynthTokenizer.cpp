// SPDX-License-Identifier: Apache-2.0
#include "frontend/SynthTokenizer.h"

#include "frontend/BpeTrainer.h"
#include "frontend/Random.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

using namespace llvm;

namespace lfmc {
namespace {

void appendUtf8(std::string &out, uint32_t c) {
  if (c < 0x80) {
    out += char(c);
  } else if (c < 0x800) {
    out += char(0xc0 | (c >> 6));
    out += char(0x80 | (c & 0x3f));
  } else {
    out += char(0xe0 | (c >> 12));
    out += char(0x80 | ((c >> 6) & 0x3f));
    out += char(0x80 | (c & 0x3f));
  }
}

std::string latinWord(SplitMix64 &random) {
  static constexpr StringLiteral onsets[] = {
      "",  "b",  "c",  "d",  "f",  "g",  "h",  "l",  "m",  "n",  "p",
      "r", "s",  "t",  "v",  "w",  "br", "ch", "cl", "cr", "dr", "fl",
      "g", "gr", "pl", "pr", "sh", "sp", "st", "th", "tr", "str"};
  static constexpr StringLiteral nuclei[] = {"a", "e", "i",  "o",  "u", "e",
                                             "a", "i", "ea", "ou", "y", "io"};
  static constexpr StringLiteral codas[] = {
      "", "", "", "n", "r", "s", "t", "l", "d", "m", "ng", "nt", "st", "ck"};
  std::string word;
  uint64_t syllables = 1 + random.below(2) + random.below(3);
  for (uint64_t i = 0; i < syllables; ++i) {
    word += onsets[random.below(std::size(onsets))];
    word += nuclei[random.below(std::size(nuclei))];
    word += codas[random.below(std::size(codas))];
  }
  static constexpr StringLiteral endings[] = {"",  "",   "",    "ed", "ing",
                                              "s", "er", "ion", "ly", "able"};
  return word + endings[random.below(std::size(endings))].str();
}

std::string otherWord(SplitMix64 &random) {
  struct Script {
    uint32_t first, letters, length;
  };
  static constexpr Script scripts[] = {
      {0x430, 32, 7},    {0x3b1, 25, 7},   {0x3041, 83, 4}, {0x30a1, 86, 5},
      {0x5d0, 27, 5},    {0x627, 36, 5},   {0x905, 53, 5},  {0xe0, 22, 5},
      {0x4e00, 2500, 2}, {0xac00, 2000, 3}};
  const Script &script = scripts[random.below(std::size(scripts))];
  std::string word;
  uint64_t length = 1 + random.below(script.length) / 2 +
                    random.below((script.length + 1) / 2 + 1);
  for (uint64_t i = 0; i < length; ++i)
    appendUtf8(word, script.first + uint32_t(random.below(script.letters)));
  return word;
}

/// Made-up training text: pretokens of the LLaMA-3 split with a Zipf
/// distribution, in descending order of frequency per kind.
std::vector<CountedWord> trainingWords(int64_t merges, uint64_t seed) {
  static constexpr StringLiteral frequent[] = {
      "the",   "of",    "and",    "to",    "a",        "in",     "is",
      "that",  "it",    "for",    "was",   "on",       "are",    "with",
      "as",    "be",    "this",   "have",  "from",     "or",     "had",
      "by",    "not",   "but",    "what",  "all",      "were",   "when",
      "we",    "there", "can",    "an",    "your",     "which",  "their",
      "said",  "if",    "will",   "each",  "about",    "how",    "up",
      "out",   "them",  "then",   "she",   "many",     "some",   "so",
      "these", "would", "other",  "into",  "has",      "more",   "two",
      "like",  "him",   "see",    "time",  "could",    "no",     "make",
      "than",  "first", "been",   "its",   "who",      "now",    "people",
      "my",    "made",  "over",   "did",   "down",     "only",   "way",
      "find",  "use",   "may",    "water", "long",     "little", "very",
      "after", "words", "called", "just",  "where",    "most",   "know",
      "hello", "world", "write",  "model", "text",     "return", "int",
      "void",  "const", "import", "self",  "function", "print"};
  SplitMix64 random(seed ^ 0x746f6b656e697a65);
  std::vector<CountedWord> words;
  // About one word in three ends as a token of its own, so this is enough to
  // learn from without running dry.
  int64_t wanted = std::max<int64_t>(400, merges);
  for (int64_t rank = 0; rank < wanted; ++rank) {
    int64_t count = 4'000'000'000 / (rank + 4);
    bool latin = rank < int64_t(std::size(frequent)) || random.below(5) != 0;
    std::string word = rank < int64_t(std::size(frequent))
                           ? frequent[rank].str()
                       : latin ? latinWord(random)
                               : otherWord(random);
    words.push_back({" " + word, count});
    words.push_back({word, latin ? count / 9 : count});
    if (latin && rank % 3 == 0) {
      word[0] = char(word[0] - 'a' + 'A');
      words.push_back({" " + word, count / 11});
      words.push_back({word, count / 14});
    }
  }
  for (int64_t i = 0; i < 1000; ++i)
    words.push_back({fmt::format("{}", i), 30'000'000 / (i + 3)});
  static constexpr StringLiteral marks[] = {
      ".",   ",",  ";",  ":",   "!",   "?",  "\"",  "'s",   "'t", "'re",
      "'ve", "'m", "(",  ")",   "[",   "]",  "{",   "}",    "=",  "+",
      "-",   "*",  "/",  "<",   ">",   "==", "!=",  "->",   "::", "();",
      "//",  "**", "--", "...", "\\n", "##", "```", "\",",  "):", "='",
      "_",   "|",  "&&", "$",   "%",   "@",  "\n",  "\n\n", "\t"};
  for (auto [rank, mark] : enumerate(marks)) {
    int64_t count = 900'000'000 / int64_t(rank + 3);
    words.push_back({mark.str(), count});
    if (isPunct(mark[0]))
      words.push_back({" " + mark.str(), count / 2});
  }
  for (int64_t spaces = 2; spaces <= 32; ++spaces)
    words.push_back({std::string(spaces, ' '), 60'000'000 / spaces});
  return words;
}

/// The printable alphabet of byte-level BPE: printable Latin-1 bytes stand for
/// themselves, the others for the code points from U+0100.
std::string printable(const std::string &bytes) {
  static const std::vector<uint32_t> alphabet = [] {
    std::vector<uint32_t> result(256);
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b)
      result[b] = (b > 32 && b < 127) || (b > 160 && b != 173) ? b : next++;
    return result;
  }();
  std::string out;
  for (unsigned char byte : bytes)
    appendUtf8(out, alphabet[byte]);
  return out;
}

nlohmann::ordered_json bosTemplate(const std::string &bos, int64_t id) {
  using J = nlohmann::ordered_json;
  auto special = [&](int type) {
    return J{{"SpecialToken", J{{"id", bos}, {"type_id", type}}}};
  };
  auto sequence = [&](const char *name, int type) {
    return J{{"Sequence", J{{"id", name}, {"type_id", type}}}};
  };
  return J{{"type", "TemplateProcessing"},
           {"single", J::array({special(0), sequence("A", 0)})},
           {"pair", J::array({special(0), sequence("A", 0), special(1),
                              sequence("B", 1)})},
           {"special_tokens", J{{bos, J{{"id", bos},
                                        {"ids", J::array({id})},
                                        {"tokens", J::array({bos})}}}}}};
}

} // namespace

SynthTokenizer SynthTokenizer::vocab65k(bool think) {
  SynthTokenizer result = small(64400);
  for (int64_t id = 14; id < 500; ++id)
    result.added[id] = fmt::format("<|reserved_{}|>", id);
  result.added[128] = "<|audio_start|>";
  result.added[130] = "<|text_end|>";
  result.added[396] = "<image>";
  for (int64_t i = 0; i < 100; ++i)
    result.added[397 + i] =
        fmt::format("<|img_row_{}_col_{}|>", 1 + i / 10, 1 + i % 10);
  result.added[497] = "<|img_thumbnail|>";
  result.added[498] = "<|image_start|>";
  result.added[499] = "<|image_end|>";
  if (think) {
    result.added[64400] = "<think>";
    result.added[64401] = "</think>";
    result.notSpecial = {64400, 64401};
    result.size = 64402;
  }
  return result;
}

SynthTokenizer SynthTokenizer::vocab128k() {
  constexpr int64_t first = 124893;
  SynthTokenizer names = small(320), result;
  result.size = 125031;
  for (int64_t id = first; id < result.size; ++id)
    result.added[id] = fmt::format("<|reserved_{}|>", id - first);
  for (int64_t i = 0; i <= 13; ++i) // pad, bos … in the same order
    result.added[first + i] = names.added[i];
  result.added[124907] = "<image>";
  result.added[124908] = "<think>";
  result.added[124909] = "</think>";
  result.notSpecial = {124908, 124909};
  return result;
}

SynthTokenizer SynthTokenizer::small(int64_t size) {
  SynthTokenizer result;
  result.size = size;
  static constexpr const char *names[] = {"<|pad|>",
                                          "<|startoftext|>",
                                          "<|endoftext|>",
                                          "<|fim_pre|>",
                                          "<|fim_mid|>",
                                          "<|fim_suf|>",
                                          "<|im_start|>",
                                          "<|im_end|>",
                                          "<|tool_list_start|>",
                                          "<|tool_list_end|>",
                                          "<|tool_call_start|>",
                                          "<|tool_call_end|>",
                                          "<|tool_response_start|>",
                                          "<|tool_response_end|>"};
  for (auto [id, name] : enumerate(names))
    result.added[int64_t(id)] = name;
  return result;
}

std::string SynthTokenizer::json() const {
  using J = nlohmann::ordered_json;
  auto pieceCount = size_t(size - int64_t(added.size()));
  BpeTrainer trainer(trainingWords(int64_t(pieceCount), seed));
  trainer.train(pieceCount);

  J vocab = J::object(), merges = J::array(), addedTokens = J::array();
  int64_t bosId = 0;
  size_t piece = 0;
  // ordered_json looks for the key on every insertion; emplace into the vector
  // behind it, whose keys are known to be distinct.
  auto &entries = vocab.get_ref<J::object_t &>();
  entries.reserve(size_t(size));
  for (int64_t id = 0; id < size; ++id) {
    auto token = added.find(id);
    if (token == added.end()) {
      if (piece < trainer.pieces.size())
        entries.std::vector<std::pair<const std::string, J>>::emplace_back(
            printable(trainer.pieces[piece++]), id);
      continue;
    }
    if (token->second == bos)
      bosId = id;
    entries.std::vector<std::pair<const std::string, J>>::emplace_back(
        token->second, id);
    addedTokens.push_back(J{{"id", id},
                            {"content", token->second},
                            {"single_word", false},
                            {"lstrip", false},
                            {"rstrip", false},
                            {"normalized", false},
                            {"special", !is_contained(notSpecial, id)}});
  }
  for (const BpeTrainer::Merge &merge : trainer.merges)
    merges.push_back(J::array({printable(trainer.pieces[merge.left]),
                               printable(trainer.pieces[merge.right])}));

  J split{
      {"type", "Split"},
      {"pattern",
       J{{"Regex", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}"
                   "+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]"
                   "+|\\s+(?!\\S)|\\s+"}}},
      {"behavior", "Isolated"},
      {"invert", false}};
  auto byteLevel = [](bool prefixSpace, bool trim, bool regex) {
    return J{{"type", "ByteLevel"},
             {"add_prefix_space", prefixSpace},
             {"trim_offsets", trim},
             {"use_regex", regex}};
  };
  J result{{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  result["added_tokens"] = std::move(addedTokens);
  result["normalizer"] = nullptr;
  result["pre_tokenizer"] =
      J{{"type", "Sequence"},
        {"pretokenizers", J::array({split, byteLevel(false, true, false)})}};
  result["post_processor"] =
      J{{"type", "Sequence"},
        {"processors",
         J::array({byteLevel(true, false, true), bosTemplate(bos, bosId)})}};
  result["decoder"] = byteLevel(true, true, true);
  J model{{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", true}};
  model["vocab"] = std::move(vocab);
  model["merges"] = std::move(merges);
  result["model"] = std::move(model);
  return result.dump(1);
}

} // namespace lfmc
