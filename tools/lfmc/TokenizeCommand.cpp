// SPDX-License-Identifier: Apache-2.0
#include "frontend/Checkpoint.h"
#include "frontend/Errors.h"
#include "frontend/Json.h"
#include "frontend/Tokenizer.h"
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/Loader.h"

#include "llvm/Support/FileSystem.h"

#include <iostream>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  std::string path;
  bool decode = false, special = false, skip = false, plain = false;
};

// The tables of a package or, compiled now, of a checkpoint; kept in `storage`.
Expected<const lfm_tokenizer *> openTokenizer(const std::string &path,
                                              std::vector<uint64_t> &storage) {
  const void *tables = nullptr;
  size_t bytes = 0;
  if (isCheckpoint(path)) {
    Expected<ModelConfig> config = ModelConfig::read(path);
    if (!config)
      return config.takeError();
    Expected<std::vector<uint8_t>> compiled =
        compileTokenizer(path, config->vocabSize);
    if (!compiled)
      return compiled.takeError();
    storage.resize((compiled->size() + 7) / 8); // aligned to 8
    std::memcpy(storage.data(), compiled->data(), compiled->size());
    tables = storage.data();
    bytes = compiled->size();
  } else {
    Expected<Json> manifest = readManifest(path);
    if (!manifest)
      return manifest.takeError();
    Expected<const lfm_program *> program = loadProgram(path, *manifest);
    if (!program)
      return program.takeError();
    tables = (*program)->tokenizer;
    bytes = (*program)->tokenizer_bytes;
  }
  if (!tables)
    return makeError("{} has no tokenizer", path);
  const lfm_tokenizer *tokenizer = nullptr;
  lfm_status status = lfm_tokenizer_open(tables, bytes, &tokenizer);
  if (status != LFM_OK)
    return makeError("{}: {}", path, lfm_status_string(status));
  return tokenizer;
}

Error encodeLine(const lfm_tokenizer *tokenizer, const std::string &line,
                 const Flags &flags) {
  uint32_t how = (flags.plain ? 0 : LFM_TOKENIZE_ADD_SPECIAL) |
                 (flags.special ? LFM_TOKENIZE_PARSE_SPECIAL : 0);
  std::vector<int32_t> tokens(line.size() + 16);
  size_t count = 0;
  lfm_status status = lfm_tokenize(tokenizer, line.data(), line.size(), how,
                                   tokens.data(), tokens.size(), &count);
  if (status != LFM_OK)
    return makeError("cannot tokenize {}: {}", inQuotes(line),
                     lfm_status_string(status));
  tokens.resize(count);
  std::cout << nlohmann::json(tokens).dump() << '\n';
  return Error::success();
}

Error decodeLine(const lfm_tokenizer *tokenizer, const std::string &line,
                 const Flags &flags) {
  Expected<nlohmann::json> json = parseJson(line, "standard input");
  if (!json)
    return json.takeError();
  std::vector<int32_t> tokens;
  if (!json->is_array())
    return makeError("standard input: expected a list of token ids, found {}",
                     inQuotes(line));
  for (const nlohmann::json &id : *json) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX)
      return makeError("standard input: expected token ids, found {}",
                       inQuotes(id.dump()));
    tokens.push_back(id.get<int32_t>());
  }
  uint32_t how = flags.skip ? LFM_DETOKENIZE_SKIP_SPECIAL : 0;
  size_t bytes = 0;
  lfm_detokenize(tokenizer, tokens.data(), tokens.size(), how, nullptr, 0,
                 &bytes);
  std::string text(bytes + 1, '\0');
  lfm_status status = lfm_detokenize(tokenizer, tokens.data(), tokens.size(),
                                     how, text.data(), text.size(), &bytes);
  if (status != LFM_OK)
    return makeError("cannot decode {}: {}", inQuotes(line),
                     lfm_status_string(status));
  text.resize(bytes);
  std::cout << text << '\n';
  return Error::success();
}

Expected<int> tokenize(const Flags &flags) {
  std::vector<uint64_t> storage;
  Expected<const lfm_tokenizer *> tokenizer =
      openTokenizer(flags.path, storage);
  if (!tokenizer)
    return tokenizer.takeError();
  for (std::string line; std::getline(std::cin, line);)
    if (Error error = flags.decode ? decodeLine(*tokenizer, line, flags)
                                   : encodeLine(*tokenizer, line, flags))
      return error;
  std::cout.flush();
  return 0;
}

} // namespace

void addTokenize(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command = app.add_subcommand(
      "tokenize", "lines of text in, JSON lists of token ids out");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  command->add_flag("--decode", flags->decode, "the other way");
  command->add_flag("--special", flags->special,
                    "recognise special tokens in the text");
  command->add_flag("--no-bos", flags->plain,
                    "leave out the token that begins a text");
  command->add_flag("--skip-special", flags->skip,
                    "with --decode: leave out special tokens");
  command->callback(
      [flags, &action] { action = [flags] { return tokenize(*flags); }; });
}

} // namespace lfmc::cli
