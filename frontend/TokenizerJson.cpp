// SPDX-License-Identifier: Apache-2.0
#include "frontend/TokenizerTables.h"

#include "frontend/Errors.h"
#include "frontend/JsonFields.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

using namespace lfmc;
using Json = nlohmann::json;

namespace {

constexpr size_t kMaxTokenBytes = 1 << 16;

/// Carries a message out of the nested readers below.
struct Invalid {
  std::string message;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args &&...args) {
  throw Invalid{fmt::format(format, std::forward<Args>(args)...)};
}

/// Member `key` of `object`, or null; also null if it is no object.
const Json &member(const Json &object, const std::string &key) {
  static const Json null;
  auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? null : *found;
}

/// Members that change the tokens when they are set to anything else.
void expectUnset(const Json &object, const char *place, const char *key) {
  const Json &value = member(object, key);
  bool unset = value.is_null() || value == false || value == "" ||
               (value.is_number() && value == 0);
  if (!unset)
    fail("{}.{}: expected it to be unset, found {}", place, key,
         jsonText(value));
}

std::string typeOf(const Json &value, const char *place) {
  if (!value.is_object() || !member(value, "type").is_string())
    fail("{}: expected an object with a type, found {}", place,
         jsonText(value));
  return member(value, "type").get<std::string>();
}

bool flag(const Json &object, const char *key, bool missing) {
  const Json &value = member(object, key);
  if (value.is_null())
    return missing;
  if (!value.is_boolean())
    fail("{}: expected true or false, found {}", key, jsonText(value));
  return value.get<bool>();
}

/// The members of a Sequence, or the value itself; none for null.
std::vector<const Json *> steps(const Json &value, const char *place,
                                const char *listKey) {
  std::vector<const Json *> list;
  if (value.is_null())
    return list;
  if (typeOf(value, place) != "Sequence")
    return {&value};
  const Json &members = member(value, listKey);
  if (!members.is_array())
    fail("{}.{}: expected a list, found {}", place, listKey, jsonText(members));
  for (const Json &step : members)
    list.push_back(&step);
  return list;
}

//===----------------------------------------------------------------------===//
// tokenizer.json
//===----------------------------------------------------------------------===//

class Reader : public TokenizerTables {
public:
  explicit Reader(int64_t vocabSize) : vocabSize(vocabSize) {}

  /// Reads the contents of tokenizer.json.
  void read(const Json &root);

private:
  int32_t inVocabulary(const std::string &spelling) const;
  int32_t id(const Json &value, const std::string &place) const;
  void define(int32_t id, std::string text, uint8_t flags);
  void readVocabulary(const Json &vocab);
  void readMerges(const Json &list);
  void readAdded(const Json &list);
  void readSplit(const Json &preTokenizer);
  void readTemplate(const Json &postProcessor);

  int64_t vocabSize;
  std::unordered_map<std::string, int32_t> vocabulary; // spelling -> id
};

int32_t Reader::id(const Json &value, const std::string &place) const {
  bool fits = value.is_number_integer() && (!value.is_number_unsigned() ||
                                            value.get<uint64_t>() <= INT32_MAX);
  if (!fits || value.get<int64_t>() < 0 || value.get<int64_t>() >= vocabSize)
    fail("{}: expected an id in 0..{} (vocab_size {}), found {}", place,
         vocabSize - 1, vocabSize, jsonText(value));
  return value.get<int32_t>();
}

void Reader::define(int32_t id, std::string text, uint8_t newFlags) {
  if (text.size() > kMaxTokenBytes)
    fail("token {}: expected at most {} bytes, found {}", id, kMaxTokenBytes,
         text.size());
  size_t count = static_cast<size_t>(id) + 1;
  bytes.resize(std::max(bytes.size(), count));
  tokenFlags.resize(std::max(tokenFlags.size(), count));
  bytes[id] = std::move(text);
  tokenFlags[id] |= newFlags;
}

int32_t Reader::inVocabulary(const std::string &spelling) const {
  auto found = vocabulary.find(spelling);
  return found == vocabulary.end() ? -1 : found->second;
}

void Reader::readVocabulary(const Json &vocab) {
  if (!vocab.is_object() || vocab.empty())
    fail("model.vocab: expected an object with tokens, found {}",
         jsonText(vocab));
  for (const auto &[spelling, value] : vocab.items()) {
    int32_t number = id(value, "model.vocab[" + jsonText(spelling) + "]");
    if (static_cast<size_t>(number) < tokenFlags.size() && tokenFlags[number])
      fail("model.vocab: id {} belongs to two tokens, one is {}", number,
           jsonText(spelling));
    std::optional<std::string> text = bytesOfToken(spelling);
    if (text && !text->empty())
      words.push_back(number);
    define(number, text ? *text : spelling, LFM_TOKEN_KNOWN);
    vocabulary.emplace(spelling, number);
  }
}

void Reader::readMerges(const Json &list) {
  if (!list.is_array())
    fail("model.merges: expected a list, found {}", jsonText(list));
  std::unordered_set<uint64_t> seen;
  for (size_t rank = 0; rank < list.size(); ++rank) {
    const Json &merge = list[rank];
    std::string left, right;
    if (merge.is_string()) {
      const std::string &text = merge.get_ref<const std::string &>();
      size_t space = text.find(' ');
      if (space != std::string::npos &&
          text.find(' ', space + 1) == std::string::npos) {
        left = text.substr(0, space);
        right = text.substr(space + 1);
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    if (left.empty() || right.empty())
      fail("model.merges[{}]: expected two tokens, found {}", rank,
           jsonText(merge));
    int32_t ids[3];
    const std::string spellings[3] = {left, right, left + right};
    for (int i = 0; i < 3; ++i)
      if ((ids[i] = inVocabulary(spellings[i])) < 0)
        fail("model.merges[{}]: {} is not in the vocabulary", rank,
             jsonText(spellings[i]));
    uint64_t pair =
        static_cast<uint64_t>(ids[0]) << 32 | static_cast<uint32_t>(ids[1]);
    if (!seen.insert(pair).second)
      fail("model.merges[{}]: {} occurs twice", rank, jsonText(merge));
    merges.push_back(
        {static_cast<uint32_t>(ids[0]), static_cast<uint32_t>(ids[1]),
         static_cast<uint32_t>(rank), static_cast<uint32_t>(ids[2])});
  }
}

void Reader::readAdded(const Json &list) {
  if (list.is_null())
    return;
  if (!list.is_array())
    fail("added_tokens: expected a list, found {}", jsonText(list));
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const Json &entry = list[i];
    std::string place = fmt::format("added_tokens[{}]", i);
    const Json &content = member(entry, "content");
    if (!content.is_string() || content == "")
      fail("{}: expected an object with id and content, found {}", place,
           jsonText(entry));
    std::string spelling = content.get<std::string>();
    int32_t number = id(member(entry, "id"), place + ".id");
    int32_t same = inVocabulary(spelling);
    bool taken = static_cast<size_t>(number) < tokenFlags.size() &&
                 tokenFlags[number] && same != number;
    if (taken || (same >= 0 && same != number))
      fail("{}: {} has id {}, but {}", place, jsonText(content), number,
           taken ? std::string("that id belongs to another token")
                 : fmt::format("the vocabulary gives it {}", same));
    if (!seen.insert(spelling).second)
      fail("{}: {} occurs twice", place, jsonText(content));
    bool special = flag(entry, "special", false);
    uint32_t rules =
        (special ? LFM_ADDED_SPECIAL : 0) |
        (flag(entry, "lstrip", false) ? LFM_ADDED_LSTRIP : 0) |
        (flag(entry, "rstrip", false) ? LFM_ADDED_RSTRIP : 0) |
        (flag(entry, "single_word", false) ? LFM_ADDED_SINGLE_WORD : 0) |
        (flag(entry, "normalized", !special) ? LFM_ADDED_NORMALIZED : 0);
    // The reference's decoder treats every token as bytes where it can.
    define(number, bytesOfToken(spelling).value_or(spelling),
           LFM_TOKEN_KNOWN | LFM_TOKEN_ADDED |
               (special ? LFM_TOKEN_SPECIAL : 0));
    added.push_back({spelling, number, rules});
  }
}

void Reader::readSplit(const Json &preTokenizer) {
  std::vector<const Json *> list =
      steps(preTokenizer, "pre_tokenizer", "pretokenizers");
  std::vector<std::string> types;
  for (const Json *step : list) {
    types.push_back(typeOf(*step, "pre_tokenizer"));
    if (flag(*step, "add_prefix_space", false))
      fail("pre_tokenizer: add_prefix_space is not supported");
  }
  if (types == std::vector<std::string>{"ByteLevel"} &&
      flag(*list[0], "use_regex", true)) {
    split = LFM_SPLIT_GPT2;
    return;
  }
  if (types != std::vector<std::string>{"Split", "ByteLevel"} ||
      flag(*list[1], "use_regex", true))
    fail("pre_tokenizer: expected Split, ByteLevel(use_regex = false) or"
         " ByteLevel(use_regex = true), found {}",
         types.empty() ? std::string("none")
                       : fmt::format("{}", fmt::join(types, ", ")));
  const Json &pattern = member(*list[0], "pattern");
  const Json &regex = member(pattern, "Regex");
  if (regex != llama3Split)
    fail("pre_tokenizer: Split by {} is not supported, only LLaMA 3's"
         " expression is",
         jsonText(regex));
  if (member(*list[0], "behavior") != "Isolated" ||
      flag(*list[0], "invert", false))
    fail("pre_tokenizer: expected Split to have behavior Isolated, not"
         " inverted, found {}",
         jsonText(member(*list[0], "behavior")));
  split = LFM_SPLIT_LLAMA3;
}

void Reader::readTemplate(const Json &postProcessor) {
  for (const Json *step :
       steps(postProcessor, "post_processor", "processors")) {
    std::string type = typeOf(*step, "post_processor");
    if (type == "ByteLevel")
      continue; // only changes offsets into the text
    if (type != "TemplateProcessing")
      fail("post_processor: expected TemplateProcessing, found {}", type);
    const Json &pieces = member(*step, "single");
    const Json &specials = member(*step, "special_tokens");
    bool before = true;
    if (!pieces.is_array() || !specials.is_object() || !prefix.empty() ||
        !suffix.empty())
      fail("post_processor: expected one template with single and"
           " special_tokens");
    for (const Json &piece : pieces) {
      const Json &special = member(piece, "SpecialToken");
      if (member(piece, "Sequence").is_object()) {
        before = false;
        continue;
      }
      const Json &name = member(special, "id");
      const Json &entry =
          name.is_string() ? member(specials, name.get<std::string>()) : name;
      const Json &ids = member(entry, "ids");
      if (!ids.is_array() || ids.size() > 8)
        fail("post_processor: expected the ids of a special token, found {}",
             jsonText(piece));
      for (const Json &value : ids)
        (before ? prefix : suffix).push_back(id(value, "post_processor"));
    }
    if (prefix.size() + suffix.size() > 8)
      fail("post_processor: expected at most 8 special tokens, found {}",
           prefix.size() + suffix.size());
  }
}

void Reader::read(const Json &root) {
  if (!root.is_object())
    fail("expected an object, found {}", jsonText(root));
  const Json &model = member(root, "model");
  if (!model.is_object())
    fail("model: expected an object, found {}", jsonText(model));
  const Json &type = member(model, "type");
  if (type != "BPE")
    fail("model.type: expected BPE, found {}", jsonText(type));
  for (const char *key : {"dropout", "unk_token", "continuing_subword_prefix",
                          "end_of_word_suffix", "byte_fallback"})
    expectUnset(model, "model", key);
  for (const Json *step :
       steps(member(root, "normalizer"), "normalizer", "normalizers"))
    fail("normalizer: expected none, found {}", typeOf(*step, "normalizer"));
  for (const Json *step : steps(member(root, "decoder"), "decoder", "decoders"))
    if (typeOf(*step, "decoder") != "ByteLevel")
      fail("decoder: expected ByteLevel, found {}", typeOf(*step, "decoder"));
  if (flag(model, "ignore_merges", false))
    flags |= LFM_TOKENIZER_IGNORE_MERGES;
  readSplit(member(root, "pre_tokenizer"));
  readVocabulary(member(model, "vocab"));
  readMerges(member(model, "merges"));
  readAdded(member(root, "added_tokens"));
  readTemplate(member(root, "post_processor"));
}

} // namespace

llvm::Expected<TokenizerTables> lfmc::readTokenizerJson(const Json &root,
                                                        int64_t vocabSize) {
  Reader reader(vocabSize);
  try {
    reader.read(root);
  } catch (const Invalid &invalid) {
    return makeError("{}", invalid.message);
  }
  return std::move(reader);
}
