// SPDX-License-Identifier: Apache-2.0
#include "frontend/GgufCursor.h"

#include "llvm/Support/JSON.h"

#include <cmath>

using namespace llvm;

namespace lfmc {
namespace {

constexpr uint64_t maxElements = 1 << 24;
constexpr int maxNesting = 4;

// Types of metadata values.
// clang-format off
enum Type : uint32_t {
  U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64, numTypes
};
// clang-format on

/// Fewest bytes that a value of the type takes.
constexpr uint64_t typeBytes[numTypes] = {1, 1, 2,  2, 4, 4, 4,
                                          1, 8, 12, 8, 8, 8};

/// The shortest decimal that rounds to `value`, as a double.
double shortest(float value) {
  double result = value;
  if (std::isfinite(value))
    StringRef(fmt::format("{}", value)).getAsDouble(result);
  return result;
}

} // namespace

bool GgufCursor::text(std::string &value, const std::string &what) {
  uint64_t length;
  if (!number(length, what))
    return false;
  if (length > file.size() - at)
    return fail("{} has {} bytes, but the file has only {} more", what, length,
                file.size() - at);
  StringRef bytes = file.substr(at, length);
  if (!json::isUTF8(bytes))
    return fail("{} is not UTF-8: {}", what, inQuotes(bytes));
  at += length;
  value = bytes.str();
  return true;
}

bool GgufCursor::count(uint64_t &value, uint64_t each, uint64_t limit,
                       const std::string &what) {
  if (!number(value, fmt::format("the number of {}", what)))
    return false;
  if (value > limit || value > (file.size() - at) / each)
    return fail("{} {}, expected at most {}", value, what,
                std::min(limit, (file.size() - at) / each));
  return true;
}

bool GgufCursor::array(nlohmann::json &to, const std::string &what,
                       int nesting) {
  if (nesting == maxNesting)
    return fail("{}: arrays in arrays deeper than {}", what, maxNesting);
  uint32_t type;
  if (!number(type, what))
    return false;
  if (type >= numTypes)
    return fail("{}: elements of type {}, expected 0 to {}", what, type,
                numTypes - 1);
  uint64_t length;
  if (!count(length, typeBytes[type], maxElements - elements,
             "elements of " + what))
    return false;
  elements += length;
  to = nlohmann::json::array();
  auto &list = to.get_ref<nlohmann::json::array_t &>();
  list.resize(length);
  for (uint64_t i = 0; i < length; ++i)
    if (!value(type, list[i], what, nesting + 1))
      return false;
  return true;
}

bool GgufCursor::value(uint32_t type, nlohmann::json &to,
                       const std::string &what, int nesting) {
  auto as = [&](auto zero) {
    if (!number(zero, what))
      return false;
    to = zero;
    return true;
  };
  switch (type) {
  case U8:
    return as(uint8_t());
  case I8:
    return as(int8_t());
  case U16:
    return as(uint16_t());
  case I16:
    return as(int16_t());
  case U32:
    return as(uint32_t());
  case I32:
    return as(int32_t());
  case U64:
    return as(uint64_t());
  case I64:
    return as(int64_t());
  case F64:
    return as(double());
  case F32: {
    float single;
    if (!number(single, what))
      return false;
    to = shortest(single);
    return true;
  }
  case Bool: {
    uint8_t byte;
    if (!number(byte, what))
      return false;
    if (byte > 1)
      return fail("{} is {}, expected a bool of 0 or 1", what, byte);
    to = byte == 1;
    return true;
  }
  case Text: {
    std::string string;
    if (!text(string, what))
      return false;
    to = std::move(string);
    return true;
  }
  case Array:
    return array(to, what, nesting);
  }
  return fail("{} has a value of type {}, expected 0 to {}", what, type,
              numTypes - 1);
}

} // namespace lfmc
