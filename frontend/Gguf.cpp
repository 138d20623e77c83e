// SPDX-License-Identifier: Apache-2.0
#include "frontend/Gguf.h"

#include "frontend/GgufCursor.h"
#include "frontend/Json.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"

using namespace llvm;

namespace lfmc {
namespace {

constexpr StringLiteral magic = "GGUF";
constexpr uint64_t maxEntries = 1 << 16; // of metadata, of tensors
constexpr uint32_t maxDims = 4;

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

class Reader : public GgufCursor {
public:
  Reader(StringRef file, uint64_t fileBytes)
      : GgufCursor(file), fileBytes(fileBytes) {}

  /// Fills in `header`.
  bool read();

  GgufHeader header;

private:
  bool entry();
  bool tensor();
  bool alignment();
  bool place();

  uint64_t fileBytes, step = 32;
  StringSet<> names;
};

bool Reader::entry() {
  std::string key;
  uint32_t type;
  if (!text(key, "a metadata key"))
    return false;
  std::string what = inQuotes(key);
  if (!number(type, what))
    return false;
  nlohmann::json parsed;
  if (!value(type, parsed, what))
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
