// SPDX-License-Identifier: Apache-2.0
#include "frontend/Gguf.h"

#include "frontend/Errors.h"
#include "frontend/Json.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"

#include <cmath>

using namespace llvm;

namespace lfmc {
namespace {

constexpr StringLiteral magic = "GGUF";
constexpr uint64_t maxEntries = 1 << 16; // of metadata, of tensors
constexpr uint64_t maxElements = 1 << 24;
constexpr uint32_t maxDims = 4;
constexpr int maxNesting = 4;

// Types of metadata values.
enum Type : uint32_t {
  U8,
  I8,
  U16,
  I16,
  U32,
  I32,
  F32,
  Bool,
  Text,
  Array,
  U64,
  I64,
  F64,
  numTypes
};

/// Fewest bytes that a value of the type takes.
constexpr uint64_t typeBytes[numTypes] = {1, 1, 2,  2, 4, 4, 4,
                                          1, 8, 12, 8, 8, 8};

struct TensorType {
  uint32_t id;
  DType dtype;
};
constexpr TensorType tensorTypes[] = {
    {0, DType::F32},   {1, DType::F16},  {2, DType::Q4_0},  {3, DType::Q4_1},
    {6, DType::Q5_0},  {8, DType::Q8_0}, {12, DType::Q4_K}, {13, DType::Q5_K},
    {14, DType::Q6_K}, {24, DType::I8},  {25, DType::I16},  {26, DType::I32},
    {27, DType::I64},  {28, DType::F64}, {30, DType::BF16}};

/// Types of ggml that exist but that nothing here reads.
StringRef unreadType(uint32_t id) {
  static constexpr struct {
    uint32_t id;
    const char *name;
  } names[] = {{7, "Q5_1"},    {9, "Q8_1"},     {10, "Q2_K"},   {11, "Q3_K"},
               {15, "Q8_K"},   {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
               {19, "IQ1_S"},  {20, "IQ4_NL"},  {21, "IQ3_S"},  {22, "IQ2_S"},
               {23, "IQ4_XS"}, {29, "IQ1_M"},   {34, "TQ1_0"},  {35, "TQ2_0"},
               {39, "MXFP4"}};
  for (const auto &row : names)
    if (row.id == id)
      return row.name;
  return "unknown";
}

class Reader {
public:
  Reader(StringRef file, uint64_t fileBytes)
      : file(file), fileBytes(fileBytes) {}

  /// Fills in `header`; false with `failure` set when the file is not sound.
  bool read();

  GgufHeader header;
  std::string failure;

private:
  template <typename... Args>
  bool fail(fmt::format_string<Args...> format, Args &&...args) {
    failure = fmt::format(format, std::forward<Args>(args)...);
    return false;
  }

  template <typename T>
  bool number(T &value, const std::string &what);
  bool text(std::string &value, const std::string &what);
  bool count(uint64_t &value, uint64_t each, uint64_t limit, const char *what);
  bool value(uint32_t type, nlohmann::json &to, const std::string &what,
             int nesting);
  bool array(nlohmann::json &to, const std::string &what, int nesting);
  bool entry();
  bool tensor();
  bool alignment();
  bool place();

  StringRef file;
  uint64_t fileBytes, at = 0, elements = 0, step = 32;
  StringSet<> names;
};

template <typename T>
bool Reader::number(T &value, const std::string &what) {
  if (file.size() - at < sizeof(T))
    return fail("the file ends in {}", what);
  value = support::endian::read<T, endianness::little>(file.data() + at);
  at += sizeof(T);
  return true;
}

bool Reader::text(std::string &value, const std::string &what) {
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

// A number of items that take at least `each` bytes: a hostile one must not
// make anyone allocate more than the file justifies.
bool Reader::count(uint64_t &value, uint64_t each, uint64_t limit,
                   const char *what) {
  if (!number(value, fmt::format("the number of {}", what)))
    return false;
  if (value > limit || value > (file.size() - at) / each)
    return fail("{} {}, expected at most {}", value, what,
                std::min(limit, (file.size() - at) / each));
  return true;
}

/// The shortest decimal that rounds to `value`, as a double.
double shortest(float value) {
  return std::isfinite(value) ? std::stod(fmt::format("{}", value)) : value;
}

bool Reader::array(nlohmann::json &to, const std::string &what, int nesting) {
  if (nesting == maxNesting)
    return fail("{}: arrays in arrays deeper than {}", what, maxNesting);
  uint32_t type;
  if (!number(type, what))
    return false;
  if (type >= numTypes)
    return fail("{}: elements of type {}, expected 0 to {}", what, type,
                numTypes - 1);
  uint64_t length;
  std::string where = "elements of " + what;
  if (!count(length, typeBytes[type], maxElements - elements, where.c_str()))
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

bool Reader::value(uint32_t type, nlohmann::json &to, const std::string &what,
                   int nesting) {
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

bool Reader::entry() {
  std::string key;
  uint32_t type;
  if (!text(key, "a metadata key"))
    return false;
  std::string what = inQuotes(key);
  if (!number(type, what))
    return false;
  nlohmann::json parsed;
  if (!value(type, parsed, what, 0))
    return false;
  if (!header.metadata.emplace(std::move(key), std::move(parsed)).second)
    return fail("duplicate metadata key {}", what);
  return true;
}

bool Reader::tensor() {
  TensorInfo info;
  if (!text(info.name, "the name of a tensor"))
    return false;
  std::string what = "tensor " + inQuotes(info.name);
  if (info.name.empty() || !names.insert(info.name).second)
    return fail("{}", info.name.empty() ? "a tensor without a name"
                                        : "duplicate " + what);
  uint32_t dims, type;
  if (!number(dims, what))
    return false;
  if (dims < 1 || dims > maxDims)
    return fail("{} has {} dimensions, expected 1 to {}", what, dims, maxDims);
  info.shape.resize(dims);
  for (int64_t &dim : reverse(info.shape))
    if (!number(dim, what))
      return false;
  if (!number(type, what) || !number(info.begin, what))
    return false;
  auto known = find_if(tensorTypes,
                       [&](const TensorType &row) { return row.id == type; });
  if (known == std::end(tensorTypes))
    return fail(
        "{} has ggml type {} ({}), expected F32, F16, BF16, Q4_0, Q4_1, "
        "Q5_0, Q8_0, Q4_K, Q5_K or Q6_K",
        what, type, std::string_view(unreadType(type)));
  info.dtype = known->dtype;

  uint64_t product = 1;
  for (int64_t dim : info.shape)
    if (dim < 1 || __builtin_mul_overflow(product, uint64_t(dim), &product) ||
        product > uint64_t(INT64_MAX) / 256)
      return fail("{} has shape {}, expected dimensions of at least 1 that fit "
                  "64 bits",
                  what, shapeText(info.shape));
  unsigned block = dtypeElements(info.dtype);
  if (info.shape.back() % block)
    return fail("{} has rows of {} elements, expected a multiple of {} for {}",
                what, info.shape.back(), block,
                std::string_view(dtypeName(info.dtype)));
  info.end = product / block * dtypeBytes(info.dtype); // its size, until placed
  header.tensors.push_back(std::move(info));
  return true;
}

bool Reader::alignment() {
  auto found = header.metadata.find("general.alignment");
  if (found == header.metadata.end())
    return true;
  constexpr uint64_t most = 1 << 20;
  if (!found->is_number_unsigned() || !isPowerOf2_64(found->get<uint64_t>()) ||
      found->get<uint64_t>() > most)
    return fail("'general.alignment' is {}, expected a power of two up to {}",
                inQuotes(found->dump()), most);
  step = found->get<uint64_t>();
  return true;
}

// Turns sizes and offsets into ranges of the file.
bool Reader::place() {
  uint64_t data = alignTo(at, step);
  for (TensorInfo &info : header.tensors) {
    std::string what = "tensor " + inQuotes(info.name);
    if (info.begin % step)
      return fail("{} is at offset {}, expected a multiple of {}", what,
                  info.begin, step);
    uint64_t room = data > fileBytes ? 0 : fileBytes - data;
    if (info.begin > room || info.end > room - info.begin)
      return fail(
          "{} has {} bytes at offset {}, but the file holds {} bytes of "
          "data",
          what, info.end, info.begin, room);
    info.begin += data;
    info.end += info.begin;
  }
  sort(header.tensors, [](const TensorInfo &a, const TensorInfo &b) {
    return std::tie(a.begin, a.name) < std::tie(b.begin, b.name);
  });
  for (size_t i = 1; i < header.tensors.size(); ++i)
    if (header.tensors[i].begin < header.tensors[i - 1].end)
      return fail("tensors {} and {} overlap",
                  inQuotes(header.tensors[i - 1].name),
                  inQuotes(header.tensors[i].name));
  return true;
}

bool Reader::read() {
  if (!file.starts_with(magic))
    return fail("no GGUF file: it does not begin with 'GGUF'");
  at = magic.size();
  uint32_t version;
  if (!number(version, "the version"))
    return false;
  if (version != 2 && version != 3)
    return fail("GGUF version {}, expected 2 or 3{}", version,
                version == 0x02000000 || version == 0x03000000
                    ? ": the file is big-endian"
                    : "");
  uint64_t tensors, entries;
  // name length, dimensions, one dimension, type, offset; key length, type,
  // byte.
  if (!count(tensors, 8 + 4 + 8 + 4 + 8, maxEntries, "tensors") ||
      !count(entries, 8 + 4 + 1, maxEntries, "metadata entries"))
    return false;
  for (uint64_t i = 0; i < entries; ++i)
    if (!entry())
      return false;
  for (uint64_t i = 0; i < tensors; ++i)
    if (!tensor())
      return false;
  return alignment() && place();
}

} // namespace

bool isGguf(StringRef path) {
  if (!sys::fs::is_regular_file(path))
    return false;
  if (path.ends_with(".gguf"))
    return true;
  auto start = MemoryBuffer::getFileSlice(path, magic.size(), 0);
  return start && (*start)->getBuffer() == magic;
}

Expected<GgufHeader> parseGgufHeader(StringRef file, uint64_t fileBytes,
                                     StringRef path) {
  Reader reader(file, fileBytes);
  if (!reader.read())
    return makeError("{}: {}", inQuotes(path), reader.failure);
  return std::move(reader.header);
}

Expected<GgufHeader> readGguf(StringRef path,
                              std::unique_ptr<MemoryBuffer> *buffer) {
  auto file = openRegularFile(path, INT64_MAX);
  if (!file)
    return file.takeError();
  StringRef contents = (*file)->getBuffer();
  Expected<GgufHeader> header =
      parseGgufHeader(contents, contents.size(), path);
  if (buffer)
    *buffer = std::move(*file);
  return header;
}

} // namespace lfmc
