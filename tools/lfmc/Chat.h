// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TOOLS_LFMC_CHAT_H
#define LFMC_TOOLS_LFMC_CHAT_H

#include "lfm/lfm.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace lfmc::cli {

/// The tokens of a conversation that goes on in one session: each turn closes
/// the answer before it and adds what is new.
class Chat {
public:
  /// `system` may be empty. `tokenizer` must outlive this object.
  Chat(const lfm_tokenizer *tokenizer, std::string system)
      : tokenizer(tokenizer), system(std::move(system)) {}

  /// Tokens that continue the session with the user's `message`.
  llvm::Expected<std::vector<int32_t>> turn(const std::string &message);

  /// Call after each answer.
  void answered(const lfm_generate_result &result);

private:
  const lfm_tokenizer *tokenizer;
  std::string system;
  bool first = true;
  int32_t pending = -1; // chosen, but not yet in the session
  bool closed = false;  // ... and it ends the turn
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_CHAT_H
