// SPDX-License-Identifier: Apache-2.0
//
// Files and JSON from outside: everything that a checkpoint directory contains
// is read through these functions, which bound size, nesting and key reuse
// before anybody looks at the contents.
#ifndef LFMC_FRONTEND_JSON_H
#define LFMC_FRONTEND_JSON_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>

namespace lfmc {

/// Deepest nesting of arrays and objects that parseJson accepts.
inline constexpr int maxJsonDepth = 32;

/// Opens the regular file `path` of at most `maxBytes`, memory-mapped where
/// that pays. Directories, pipes and devices are errors, and so is an empty
/// file. The buffer is not NUL-terminated.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
openRegularFile(llvm::StringRef path, uint64_t maxBytes);

/// Parses `text`; `where` names it in messages. Duplicate keys, invalid UTF-8,
/// numbers out of range (and NaN, Infinity) and nesting deeper than
/// maxJsonDepth are errors.
llvm::Expected<nlohmann::json> parseJson(llvm::StringRef text,
                                         llvm::StringRef where);

/// openRegularFile, then parseJson.
llvm::Expected<nlohmann::json> readJsonFile(llvm::StringRef path,
                                            uint64_t maxBytes);

/// nlohmann's message without its "[json.exception…]" prefix, on one short
/// line.
std::string jsonErrorText(const nlohmann::json::exception &error);

} // namespace lfmc

#endif // LFMC_FRONTEND_JSON_H
