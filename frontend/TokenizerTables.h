// SPDX-License-Identifier: Apache-2.0
//
// A tokenizer between tokenizer.json and the runtime's tables.
#ifndef LFMC_FRONTEND_TOKENIZERTABLES_H
#define LFMC_FRONTEND_TOKENIZERTABLES_H

#include "runtime/include/lfm/tokenizer_format.h"

#include "llvm/Support/Error.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lfmc {

/// What writeTokenizer() needs; ids are checked by whoever fills it in. Flags
/// are those of tokenizer_format.h.
struct TokenizerTables {
  struct Added {
    std::string spelling; // not empty, each once
    int32_t id;
    uint32_t flags; // LFM_ADDED_*
  };

  uint32_t flags = 0; // LFM_TOKENIZER_*
  uint32_t split = 0; // LFM_SPLIT_*
  uint32_t chat = 0;  // LFM_CHAT_*
  int32_t bos = -1;
  std::vector<std::string> bytes;          // by id: what the token stands for
  std::vector<uint8_t> tokenFlags;         // by id: LFM_TOKEN_*
  std::vector<int32_t> words;              // ids that the merges can make
  std::vector<lfm_tokenizer_merge> merges; // each pair once
  std::vector<Added> added;
  std::vector<int32_t> prefix, suffix; // around a text
};

/// The expression by which LFM2 and LLaMA 3 split text, as tokenizer.json has
/// it.
inline constexpr char llama3Split[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The bytes that a vocabulary entry stands for in the byte alphabet of
/// byte-level BPE (each byte is one printable character); nothing if `token`,
/// which must be UTF-8, has another character.
std::optional<std::string> bytesOfToken(const std::string &token);

/// Takes over the contents of tokenizer.json; `chat` and `bos` stay unset.
/// Errors name the place in the file, not the file.
llvm::Expected<TokenizerTables> readTokenizerJson(const nlohmann::json &root,
                                                  int64_t vocabSize);

/// The block that runtime/include/lfm/tokenizer_format.h describes.
std::vector<uint8_t> writeTokenizer(const TokenizerTables &tables);

} // namespace lfmc

#endif // LFMC_FRONTEND_TOKENIZERTABLES_H
