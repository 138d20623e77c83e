// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Chat.h"

#include "frontend/Errors.h"

namespace lfmc::cli {

llvm::Expected<std::vector<int32_t>> Chat::turn(const std::string &message) {
  std::vector<lfm_chat_message> messages;
  if (first && !system.empty())
    messages.push_back({"system", system.c_str()});
  messages.push_back({"user", message.c_str()});
  lfm_chat_options options = {};
  options.flags = LFM_CHAT_GENERATE | (first ? 0 : LFM_CHAT_NO_BOS);
  std::vector<int32_t> tokens(message.size() + system.size() + 128);
  size_t count = 0;
  lfm_status status =
      lfm_chat_tokenize(tokenizer, messages.data(), messages.size(), &options,
                        tokens.data(), tokens.size(), &count);
  if (status != LFM_OK)
    return makeError("cannot use the chat template: {}",
                     lfm_status_string(status));
  tokens.resize(count);
  if (first)
    return tokens;
  // The template writes "<|im_end|>\n" behind an answer; an answer that was cut
  // short lacks both.
  std::vector<int32_t> all;
  if (pending >= 0)
    all.push_back(pending);
  if (!closed) {
    int32_t end = lfm_token_find(tokenizer, "<|im_end|>", 10);
    if (end >= 0)
      all.push_back(end);
  }
  int32_t newline[4];
  size_t newlines = 0;
  if (lfm_tokenize(tokenizer, "\n", 1, 0, newline, 4, &newlines) == LFM_OK)
    all.insert(all.end(), newline, newline + newlines);
  all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

void Chat::answered(const lfm_generate_result &result) {
  first = false;
  pending = result.pending;
  closed = result.reason == LFM_STOP_EOS;
}

} // namespace lfmc::cli
