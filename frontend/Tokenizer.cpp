// SPDX-License-Identifier: Apache-2.0
#include "frontend/Tokenizer.h"

#include "frontend/Errors.h"
#include "frontend/GgufConfig.h"
#include "frontend/Json.h"
#include "frontend/JsonFields.h"
#include "frontend/TokenizerTables.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace lfmc;
using Json = nlohmann::json;

namespace {

constexpr uint64_t kMaxFileBytes = 256u << 20;

std::string pathOf(llvm::StringRef dir, llvm::StringRef name) {
  llvm::SmallString<256> path(dir);
  llvm::sys::path::append(path, name);
  return path.str().str();
}

/// What the file holds; an empty object if there is no such file.
llvm::Expected<Json> readOptional(const std::string &path) {
  if (!llvm::sys::fs::exists(path))
    return Json::object();
  auto json = readJsonFile(path, kMaxFileBytes);
  if (json && !json->is_object())
    return makeError("{}: expected an object, found {}", inQuotes(path),
                     json->type_name());
  return json;
}

/// The spelling of bos_token: a string or an added token.
std::string bosSpelling(const Json &config) {
  auto bos = config.find("bos_token");
  if (bos == config.end())
    return "";
  if (bos->is_object() && bos->contains("content"))
    bos = bos->find("content");
  return bos->is_string() ? bos->get<std::string>() : "";
}

/// The id of the token that is spelled `spelling`, or -1.
int32_t findToken(const TokenizerTables &tables, const std::string &spelling) {
  for (const TokenizerTables::Added &token : tables.added)
    if (token.spelling == spelling)
      return token.id;
  for (int32_t id : tables.words)
    if (tables.bytes[id] == spelling)
      return id;
  return -1;
}

/// The text of the chat template; empty if there is none.
llvm::Expected<std::string> chatTemplate(const std::string &dir,
                                         const Json &config) {
  std::string path = pathOf(dir, "chat_template.jinja");
  if (llvm::sys::fs::exists(path)) {
    auto file = openRegularFile(path, kMaxFileBytes);
    if (!file)
      return file.takeError();
    return (*file)->getBuffer().str();
  }
  Json value = config.value("chat_template", Json());
  if (value.is_string())
    return value.get<std::string>();
  // Several templates by name.
  if (value.is_array())
    for (const Json &entry : value)
      if (entry.is_object() && entry.value("name", Json()) == "default" &&
          entry.value("template", Json()).is_string())
        return entry["template"].get<std::string>();
  return std::string();
}

/// What a template does, from the words in it: the runtime has no interpreter,
/// and all LFM2 templates are variations of ChatML.
uint32_t chatRules(llvm::StringRef text) {
  auto has = [&](llvm::StringRef word) { return text.contains(word); };
  if (!has("<|im_start|>") || !has("<|im_end|>"))
    return 0;
  uint32_t rules = LFM_CHAT_HAS_CHATML;
  auto rule = [&](bool set, uint32_t bits) { rules |= set ? bits : 0; };
  rule(has("bos_token"), LFM_CHAT_HAS_BOS);
  rule(has("system_prompt") || has("tools"), LFM_CHAT_MERGES_SYSTEM);
  rule(has("<|tool_list_start|>"), LFM_CHAT_TOOL_MARKERS);
  rule(has("<|tool_response_start|>"), LFM_CHAT_TOOL_RESPONSE);
  rule(has("</think>"), LFM_CHAT_STRIPS_THINK);
  rule(has("</think>") && has("last_assistant"), LFM_CHAT_STRIPS_BUT_LAST);
  // In a Jinja string the line end is an escape, in plain text a line end.
  rule(has("assistant\\n<think>") || has("assistant\n<think>"),
       LFM_CHAT_THINK_PROMPT);
  rule(has("Today's date"), LFM_CHAT_TOOL_DATE | LFM_CHAT_TOOL_PARAGRAPH);
  return rules;
}

llvm::Expected<TokenizerTables> tablesOf(const std::string &path,
                                         const Json &root, int64_t vocabSize) {
  auto tables = readTokenizerJson(root, vocabSize);
  if (!tables)
    return makeError("{}: {}", inQuotes(path),
                     llvm::toString(tables.takeError()));
  return tables;
}

llvm::Expected<std::vector<uint8_t>> ofGguf(const std::string &path,
                                            int64_t vocabSize) {
  auto header = readGguf(path);
  if (!header)
    return header.takeError();
  auto root = ggufTokenizer(*header, path);
  if (!root)
    return root.takeError();
  auto tables = tablesOf(path, *root, vocabSize);
  if (!tables)
    return tables.takeError();
  JsonFields fields(header->metadata, path);
  tables->bos =
      int32_t(fields.integer({"tokenizer.ggml.bos_token_id"}, 0, vocabSize - 1)
                  .value_or(-1));
  tables->chat =
      chatRules(fields.string({"tokenizer.chat_template"}).value_or(""));
  if (llvm::Error error = fields.takeError())
    return error;
  return writeTokenizer(*tables);
}

llvm::Expected<std::vector<uint8_t>> ofDirectory(const std::string &dir,
                                                 int64_t vocabSize) {
  std::string path = pathOf(dir, "tokenizer.json");
  auto root = readJsonFile(path, kMaxFileBytes);
  if (!root)
    return root.takeError();
  auto tables = tablesOf(path, *root, vocabSize);
  if (!tables)
    return tables.takeError();

  auto config = readOptional(pathOf(dir, "tokenizer_config.json"));
  if (!config)
    return config.takeError();
  std::string bos = bosSpelling(*config);
  if (bos.empty()) {
    auto map = readOptional(pathOf(dir, "special_tokens_map.json"));
    if (!map)
      return map.takeError();
    bos = bosSpelling(*map);
  }
  if (!bos.empty())
    tables->bos = findToken(*tables, bos);
  else if (!tables->prefix.empty())
    tables->bos = tables->prefix.front();
  auto chat = chatTemplate(dir, *config);
  if (!chat)
    return chat.takeError();
  tables->chat = chatRules(*chat);
  return writeTokenizer(*tables);
}

} // namespace

llvm::Expected<std::vector<uint8_t>>
lfmc::compileTokenizer(const std::string &checkpoint, int64_t vocabSize) {
  if (vocabSize <= 0 || vocabSize > INT32_MAX)
    return makeError("{}: expected a vocab_size of 1..{}, found {}",
                     inQuotes(checkpoint), INT32_MAX, vocabSize);
  return isGguf(checkpoint) ? ofGguf(checkpoint, vocabSize)
                            : ofDirectory(checkpoint, vocabSize);
}
