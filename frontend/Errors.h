// SPDX-License-Identifier: Apache-2.0
//
// How the frontend reports errors: llvm::Error with one line of text, lower
// case, without a full stop, that names the file or tensor, the value found and
// the value wanted.
#ifndef LFMC_FRONTEND_ERRORS_H
#define LFMC_FRONTEND_ERRORS_H

#include "llvm/Support/Error.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

namespace lfmc {

/// An error with a formatted message (fmt syntax).
template <typename... Args>
llvm::Error makeError(fmt::format_string<Args...> format, Args &&...args) {
  return llvm::make_error<llvm::StringError>(
      fmt::format(format, std::forward<Args>(args)...),
      llvm::inconvertibleErrorCode());
}

/// `text` in single quotes, for messages: control characters are escaped and
/// text from a hostile file is cut after 160 bytes.
std::string inQuotes(llvm::StringRef text);

/// A shape as "[6144, 2048]".
std::string shapeText(llvm::ArrayRef<int64_t> shape);

} // namespace lfmc

#endif // LFMC_FRONTEND_ERRORS_H
