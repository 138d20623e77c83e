// SPDX-License-Identifier: Apache-2.0
#include "frontend/Json.h"

#include "frontend/Errors.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"

using namespace llvm;

namespace lfmc {

namespace {

/// `text` on one line of at most `limit` bytes: control characters and what is
/// not UTF-8 are escaped.
std::string printable(StringRef text, size_t limit) {
  size_t length = std::min(text.size(), limit);
  // Not in the middle of a character.
  while (length < text.size() && length > 0 && (text[length] & 0xc0) == 0x80)
    --length;
  bool isUtf8 = json::isUTF8(text.take_front(length));
  std::string out;
  for (unsigned char c : text.take_front(length)) {
    if (c < 0x20 || c == 0x7f || (c >= 0x80 && !isUtf8))
      out += fmt::format("\\x{:02x}", c);
    else
      out += static_cast<char>(c);
  }
  return length < text.size() ? out + "…" : out;
}

} // namespace

std::string inQuotes(StringRef text) {
  return "'" + printable(text, 160) + "'";
}

std::string shapeText(ArrayRef<int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

Expected<std::unique_ptr<MemoryBuffer>> openRegularFile(StringRef path,
                                                        uint64_t maxBytes) {
  sys::fs::file_status status;
  if (std::error_code ec = sys::fs::status(path, status))
    return makeError("cannot read {}: {}", inQuotes(path), ec.message());
  if (status.type() != sys::fs::file_type::regular_file)
    return makeError("{} is not a regular file", inQuotes(path));
  if (status.getSize() == 0)
    return makeError("{} is empty", inQuotes(path));
  if (status.getSize() > maxBytes)
    return makeError("{} has {} bytes, expected at most {}", inQuotes(path),
                     status.getSize(), maxBytes);
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  if (!buffer)
    return makeError("cannot read {}: {}", inQuotes(path),
                     buffer.getError().message());
  return std::move(*buffer);
}

std::string jsonErrorText(const nlohmann::json::exception &error) {
  StringRef text = error.what();
  size_t end = text.find("] ");
  // The parser quotes what it read last, which may be all of the file.
  return printable(end == StringRef::npos ? text : text.drop_front(end + 2),
                   240);
}

namespace {

/// Thrown out of the parser's callback; never leaves this file.
struct Refused {
  std::string why;
};

/// Counts depth and remembers the keys of every open object.
class Guard {
public:
  bool operator()(int depth, nlohmann::json::parse_event_t event,
                  const nlohmann::json &value) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= maxJsonDepth)
        throw Refused{fmt::format("nesting deeper than {}", maxJsonDepth)};
      if (event == Event::object_start)
        keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key) {
      const std::string &key = value.get_ref<const std::string &>();
      if (!keys.back().insert(key).second)
        throw Refused{"duplicate key " + inQuotes(key)};
    }
    return true;
  }

private:
  std::vector<StringSet<>> keys;
};

} // namespace

Expected<nlohmann::json> parseJson(StringRef text, StringRef where) {
  try {
    auto guard = std::make_shared<Guard>();
    return nlohmann::json::parse(text.begin(), text.end(),
                                 [guard](int depth,
                                         nlohmann::json::parse_event_t event,
                                         nlohmann::json &value) {
                                   return (*guard)(depth, event, value);
                                 });
  } catch (const Refused &refused) {
    return makeError("{}: {}", inQuotes(where), refused.why);
  } catch (const nlohmann::json::exception &error) {
    return makeError("{}: invalid JSON: {}", inQuotes(where),
                     jsonErrorText(error));
  }
}

Expected<nlohmann::json> readJsonFile(StringRef path, uint64_t maxBytes) {
  auto buffer = openRegularFile(path, maxBytes);
  if (!buffer)
    return buffer.takeError();
  return parseJson((*buffer)->getBuffer(), path);
}

} // namespace lfmc
