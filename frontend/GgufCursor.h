// SPDX-License-Identifier: Apache-2.0
//
// A place in a GGUF file that moves over numbers, strings and metadata values,
// none of which it believes further than the file has bytes for.
#ifndef LFMC_FRONTEND_GGUFCURSOR_H
#define LFMC_FRONTEND_GGUFCURSOR_H

#include "frontend/Errors.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Endian.h"

#include <nlohmann/json.hpp>

namespace lfmc {

/// Every function returns false, with `failure` set, when the file is not sound
/// there. `what` names the item in messages.
class GgufCursor {
public:
  explicit GgufCursor(llvm::StringRef file) : file(file) {}

  /// Sets `failure`.
  template <typename... Args>
  bool fail(fmt::format_string<Args...> format, Args &&...args) {
    failure = fmt::format(format, std::forward<Args>(args)...);
    return false;
  }

  /// Reads a little-endian number.
  template <typename T>
  bool number(T &value, const std::string &what) {
    if (file.size() - at < sizeof(T))
      return fail("the file ends in {}", what);
    value = llvm::support::endian::read<T, llvm::endianness::little>(
        file.data() + at);
    at += sizeof(T);
    return true;
  }

  /// Reads a length and as many bytes of UTF-8.
  bool text(std::string &value, const std::string &what);

  /// Reads a number of items, of at most `limit`, that take at least `each`
  /// bytes: a hostile one must not make anyone allocate more than the file
  /// justifies.
  bool count(uint64_t &value, uint64_t each, uint64_t limit,
             const std::string &what);

  /// Reads a metadata value of GGUF's type `type`.
  bool value(uint32_t type, nlohmann::json &to, const std::string &what,
             int nesting = 0);

  llvm::StringRef file;
  uint64_t at = 0;
  std::string failure;

private:
  bool array(nlohmann::json &to, const std::string &what, int nesting);

  uint64_t elements = 0; // of all arrays
};

} // namespace lfmc

#endif // LFMC_FRONTEND_GGUFCURSOR_H
