// SPDX-License-Identifier: Apache-2.0
#include "frontend/Errors.h"
#include "frontend/GgufConfig.h"
#include "frontend/JsonFields.h"
#include "frontend/TokenizerTables.h"

#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace lfmc {
namespace {

using nlohmann::json;

constexpr int64_t maxTokens = 1 << 22;

// Kinds of tokens in tokenizer.ggml.token_type.
enum TokenType { Normal = 1, Control = 3, UserDefined = 4, Unused = 5 };

struct PreTokenizer {
  json steps;
  bool ignoreMerges, addBos;
};

/// What llama.cpp takes a name to mean.
std::optional<PreTokenizer> preTokenizer(StringRef name) {
  if (name == "gpt-2")
    return PreTokenizer{{{"type", "ByteLevel"}, {"use_regex", true}},
                        /*ignoreMerges=*/false,
                        /*addBos=*/false};
  if (name != "lfm2" && name != "llama-bpe" && name != "llama3" &&
      name != "llama-v3")
    return std::nullopt;
  json split = {{"type", "Split"},
                {"pattern", {{"Regex", llama3Split}}},
                {"behavior", "Isolated"}};
  json bytes = {{"type", "ByteLevel"}, {"use_regex", false}};
  return PreTokenizer{{{"type", "Sequence"}, {"pretokenizers", {split, bytes}}},
                      /*ignoreMerges=*/true,
                      /*addBos=*/true};
}

// Tokens by spelling, and the special ones.
void readTokens(JsonFields &fields, json &vocab, json &added) {
  const json *tokens = fields.find({"tokenizer.ggml.tokens"});
  const json *types = fields.find({"tokenizer.ggml.token_type"});
  if (!tokens || !tokens->is_array() || tokens->size() > maxTokens)
    return fields.fail(fmt::format("'tokenizer.ggml.tokens' is {}, expected an "
                                   "array of up to {} tokens",
                                   tokens ? jsonText(*tokens) : "missing",
                                   maxTokens));
  if (types && (!types->is_array() || types->size() != tokens->size()))
    return fields.fail(fmt::format(
        "'tokenizer.ggml.token_type' is {}, expected an array of {} entries",
        jsonText(*types), tokens->size()));
  for (size_t id = 0; id < tokens->size(); ++id) {
    const json &token = (*tokens)[id];
    if (!token.is_string())
      return fields.fail(fmt::format("token {} is {}, expected a string", id,
                                     jsonText(token)));
    json type = types ? (*types)[id] : json(Normal);
    if (type == Unused) // fills the vocabulary up to the embedding's rows
      continue;
    if (type != Normal && type != Control && type != UserDefined)
      return fields.fail(
          fmt::format("token {} has type {}, expected {}, {}, {} "
                      "or {}",
                      id, jsonText(type), int(Normal), int(Control),
                      int(UserDefined), int(Unused)));
    if (type != Normal)
      added.push_back(
          {{"id", id}, {"content", token}, {"special", type == Control}});
    // Special tokens are in the vocabulary, too, where LFM2's tokenizer has
    // them.
    if (!vocab.emplace(token.get<std::string>(), id).second)
      return fields.fail(fmt::format(
          "token {} is {}, which token {} is, too", id, jsonText(token),
          jsonText(vocab[token.get<std::string>()])));
  }
}

// The tokens around a text.
json readTemplate(JsonFields &fields, bool addBos) {
  json pieces = json::array(), specials = json::object();
  auto add = [&](const char *key, bool otherwise, const char *idKey) {
    if (!fields.boolean({key}).value_or(otherwise))
      return;
    const json *id = fields.find({idKey});
    if (!id)
      return fields.fail(
          fmt::format("'{}' is set, but there is no '{}'", key, idKey));
    specials[idKey] = {{"ids", json::array({*id})}};
    pieces.push_back({{"SpecialToken", {{"id", idKey}}}});
  };
  addBos &= fields.has("tokenizer.ggml.bos_token_id");
  add("tokenizer.ggml.add_bos_token", addBos, "tokenizer.ggml.bos_token_id");
  pieces.push_back({{"Sequence", json::object()}});
  add("tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id");
  return {{"type", "TemplateProcessing"},
          {"single", pieces},
          {"special_tokens", specials}};
}

} // namespace

Expected<json> ggufTokenizer(const GgufHeader &header, StringRef path) {
  JsonFields fields(header.metadata, path);
  auto model = fields.string({"tokenizer.ggml.model"});
  if (model && *model != "gpt2")
    fields.fail(fmt::format("'tokenizer.ggml.model' is {}, expected 'gpt2'",
                            inQuotes(*model)));
  std::string name = fields.string({"tokenizer.ggml.pre"}).value_or("");
  auto pre = preTokenizer(name);
  if (!pre)
    fields.fail(fmt::format("'tokenizer.ggml.pre' is {}, expected 'lfm2', "
                            "'llama-bpe', 'llama3', 'llama-v3' or 'gpt-2'",
                            inQuotes(name)));
  fields.boolean({"tokenizer.ggml.add_space_prefix"});
  json vocab = json::object(), added = json::array(), post;
  if (!fields.failed())
    readTokens(fields, vocab, added);
  if (!fields.failed())
    post = readTemplate(fields, pre->addBos);
  if (Error error = fields.takeError())
    return std::move(error);
  const json *merges = fields.find({"tokenizer.ggml.merges"});
  return json{{"model",
               {{"type", "BPE"},
                {"vocab", std::move(vocab)},
                {"merges", merges ? *merges : json::array()},
                {"ignore_merges", pre->ignoreMerges}}},
              {"pre_tokenizer", std::move(pre->steps)},
              {"decoder", {{"type", "ByteLevel"}}},
              {"added_tokens", std::move(added)},
              {"post_processor", std::move(post)}};
}

} // namespace lfmc
