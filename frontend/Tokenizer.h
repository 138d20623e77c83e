// SPDX-License-Identifier: Apache-2.0
//
// Compiles a checkpoint's tokenizer into the runtime's tables.
#ifndef LFMC_FRONTEND_TOKENIZER_H
#define LFMC_FRONTEND_TOKENIZER_H

#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lfmc {

/// Reads the tokenizer of a checkpoint and returns the block that
/// runtime/include/lfm/tokenizer_format.h describes. In a directory that is
/// tokenizer.json (and of tokenizer_config.json, special_tokens_map.json and
/// chat_template.jinja, where they exist, the BOS token and the chat template),
/// in a GGUF file its metadata. `vocabSize` is the model's number of embedding
/// rows; the tokenizer may have fewer ids, not more.
///
/// Accepts byte-level BPE with the split expression of LLaMA 3 or GPT-2, merges
/// in both spellings. Everything that would change the tokens and is not known
/// here is an error that names file, place, value found and value wanted; so is
/// anything inconsistent (ids out of range or used twice, merges of unknown
/// tokens, invalid JSON or UTF-8).
llvm::Expected<std::vector<uint8_t>>
compileTokenizer(const std::string &checkpoint, int64_t vocabSize);

} // namespace lfmc

#endif // LFMC_FRONTEND_TOKENIZER_H
