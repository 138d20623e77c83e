// SPDX-License-Identifier: Apache-2.0
#include "frontend/SafeTensors.h"

#include "frontend/Errors.h"
#include "frontend/Json.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"

#include <map>

#include <sys/mman.h>

using namespace llvm;

namespace lfmc {
namespace {

struct DTypeRow {
  DType type;
  const char *name;
  unsigned bytes;
  unsigned elements = 1;
};

constexpr DTypeRow dtypeRows[] = {
    {DType::Bool, "BOOL", 1},
    {DType::U8, "U8", 1},
    {DType::I8, "I8", 1},
    {DType::F8E5M2, "F8_E5M2", 1},
    {DType::F8E4M3, "F8_E4M3", 1},
    {DType::F8E8M0, "F8_E8M0", 1},
    {DType::I16, "I16", 2},
    {DType::U16, "U16", 2},
    {DType::F16, "F16", 2},
    {DType::BF16, "BF16", 2},
    {DType::I32, "I32", 4},
    {DType::U32, "U32", 4},
    {DType::F32, "F32", 4},
    {DType::I64, "I64", 8},
    {DType::U64, "U64", 8},
    {DType::F64, "F64", 8},
    {DType::C64, "C64", 8},
    {DType::Q4_0, "Q4_0", 18, 32},
    {DType::Q4_1, "Q4_1", 20, 32},
    {DType::Q5_0, "Q5_0", 22, 32},
    {DType::Q8_0, "Q8_0", 34, 32},
    {DType::Q4_K, "Q4_K", 144, 256},
    {DType::Q5_K, "Q5_K", 176, 256},
    {DType::Q6_K, "Q6_K", 210, 256},
};

const DTypeRow &rowOf(DType type) {
  return *find_if(dtypeRows,
                  [type](const DTypeRow &row) { return row.type == type; });
}

constexpr uint64_t maxIndexBytes = 64 << 20;
constexpr const char *singleName = "model.safetensors";
constexpr const char *indexName = "model.safetensors.index.json";

std::string join(StringRef directory, StringRef name) {
  SmallString<256> path(directory);
  sys::path::append(path, name);
  return std::string(path);
}

/// Shards lie beside their index: anything but a plain file name could reach
/// out of the checkpoint.
bool isPlainFileName(StringRef name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(StringRef("/\\\0", 3)) == StringRef::npos;
}

/// The file of `directory` to open, or an error that says what is there
/// instead.
Expected<std::string> findCheckpoint(StringRef directory) {
  for (const char *name : {singleName, indexName})
    if (sys::fs::exists(join(directory, name)))
      return join(directory, name);
  std::error_code ec;
  for (sys::fs::directory_iterator it(directory, ec), end; it != end && !ec;
       it.increment(ec)) {
    StringRef name = sys::path::filename(it->path());
    StringRef extension = sys::path::extension(name);
    if (extension == ".safetensors" || extension == ".bin" ||
        extension == ".gguf" || extension == ".pt" || extension == ".pth")
      return makeError("{} has neither {} nor {}, but {}", inQuotes(directory),
                       singleName, indexName, inQuotes(name));
  }
  if (ec)
    return makeError("cannot read directory {}: {}", inQuotes(directory),
                     ec.message());
  return makeError("{} has neither {} nor {}", inQuotes(directory), singleName,
                   indexName);
}

} // namespace

StringRef dtypeName(DType type) { return rowOf(type).name; }

std::optional<DType> parseDType(StringRef name) {
  for (const DTypeRow &row : dtypeRows)
    if (row.elements == 1 && name == row.name)
      return row.type;
  return std::nullopt;
}

unsigned dtypeBytes(DType type) { return rowOf(type).bytes; }

unsigned dtypeElements(DType type) { return rowOf(type).elements; }

bool isWeightDType(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16 ||
         dtypeElements(type) > 1;
}

int64_t TensorInfo::numElements() const {
  return int64_t(numBytes() / dtypeBytes(dtype) * dtypeElements(dtype));
}

SafeTensors::SafeTensors(std::string path, std::unique_ptr<MemoryBuffer> buffer,
                         std::vector<TensorInfo> infos,
                         ArrayRef<std::string> names)
    : infos(std::move(infos)) {
  paths.push_back(std::move(path));
  buffers.push_back(std::move(buffer));
  for (auto [index, name] : enumerate(names))
    byName[name] = index;
}

Error SafeTensors::addFile(const std::string &path) {
  auto buffer = openRegularFile(path, INT64_MAX);
  if (!buffer)
    return buffer.takeError();
  StringRef contents = (*buffer)->getBuffer();
  auto header = parseSafeTensorsHeader(contents, contents.size(), path);
  if (!header)
    return header.takeError();
  if (header->empty())
    return makeError("{} holds no tensors", inQuotes(path));
  for (TensorInfo &info : *header) {
    info.file = paths.size();
    auto [known, inserted] = byName.try_emplace(info.name, infos.size());
    if (!inserted)
      return makeError("tensor {} is both in {} and in {}", inQuotes(info.name),
                       inQuotes(paths[infos[known->second].file]),
                       inQuotes(path));
    infos.push_back(std::move(info));
  }
  paths.push_back(path);
  buffers.push_back(std::move(*buffer));
  return Error::success();
}

Error SafeTensors::addShards(const std::string &indexPath) {
  auto index = readJsonFile(indexPath, maxIndexBytes);
  if (!index)
    return index.takeError();
  if (!index->is_object() || !index->contains("weight_map") ||
      !(*index)["weight_map"].is_object() || (*index)["weight_map"].empty())
    return makeError("{}: no 'weight_map' object with entries",
                     inQuotes(indexPath));

  std::map<std::string, std::map<std::string, bool>> shards;
  for (const auto &[tensor, file] : (*index)["weight_map"].items()) {
    if (!file.is_string())
      return makeError("{}: the entry of tensor {} is {}, expected a file name",
                       inQuotes(indexPath), inQuotes(tensor), file.type_name());
    const std::string &name = file.get_ref<const std::string &>();
    if (!isPlainFileName(name))
      return makeError("{}: the entry of tensor {} is {}, expected a file name "
                       "without a directory",
                       inQuotes(indexPath), inQuotes(tensor), inQuotes(name));
    shards[name].emplace(tensor, false);
  }

  StringRef directory = sys::path::parent_path(indexPath);
  for (auto &[name, entries] : shards) {
    std::string path = join(directory, name);
    if (!sys::fs::exists(path))
      return makeError("shard {} is missing ({} tensors, one is {})",
                       inQuotes(path), entries.size(),
                       inQuotes(entries.begin()->first));
    size_t first = infos.size();
    if (Error error = addFile(path))
      return error;
    for (const TensorInfo &info : ArrayRef(infos).drop_front(first)) {
      auto entry = entries.find(info.name);
      if (entry == entries.end())
        return makeError("tensor {} of shard {} has no entry in {}",
                         inQuotes(info.name), inQuotes(path),
                         inQuotes(indexPath));
      entry->second = true;
    }
    for (const auto &[tensor, found] : entries)
      if (!found)
        return makeError("{}: tensor {} is not in its shard {}",
                         inQuotes(indexPath), inQuotes(tensor), inQuotes(path));
  }
  return Error::success();
}

Expected<SafeTensors> SafeTensors::open(StringRef path) {
  std::string file = path.str();
  if (sys::fs::is_directory(path)) {
    auto found = findCheckpoint(path);
    if (!found)
      return found.takeError();
    file = *found;
  }
  SafeTensors result;
  bool isIndex = StringRef(file).ends_with(".json");
  if (Error error = isIndex ? result.addShards(file) : result.addFile(file))
    return std::move(error);
  return std::move(result);
}

Error SafeTensors::split(
    function_ref<Expected<std::vector<Piece>>(StringRef, const TensorInfo &)>
        pieces) {
  std::vector<StringRef> names(infos.size());
  for (const auto &entry : byName)
    names[entry.second] = entry.first();
  std::vector<TensorInfo> next;
  StringMap<size_t> nextByName;
  auto add = [&](StringRef name, TensorInfo info) -> Error {
    auto [known, inserted] = nextByName.try_emplace(name, next.size());
    if (!inserted)
      return makeError("tensors {} and {} are the same: {}",
                       inQuotes(next[known->second].name), inQuotes(info.name),
                       inQuotes(name));
    next.push_back(std::move(info));
    return Error::success();
  };
  for (auto [name, info] : zip(names, infos)) {
    auto parts = pieces(name, info);
    if (!parts)
      return parts.takeError();
    if (parts->empty())
      if (Error error = add(name, info))
        return error;
    uint64_t begin = info.begin;
    for (Piece &piece : *parts) {
      TensorInfo part = info;
      part.name = std::move(piece.title);
      part.shape = std::move(piece.shape);
      part.begin = begin;
      part.end = begin += info.numBytes() / parts->size();
      if (Error error = add(piece.name, std::move(part)))
        return error;
    }
  }
  infos = std::move(next);
  byName = std::move(nextByName);
  return Error::success();
}

const TensorInfo *SafeTensors::find(StringRef name) const {
  auto it = byName.find(name);
  return it == byName.end() ? nullptr : &infos[it->second];
}

ArrayRef<uint8_t> SafeTensors::bytes(const TensorInfo &info) const {
  StringRef contents = buffers[info.file]->getBuffer();
  StringRef data = contents.slice(info.begin, info.end);
  return {reinterpret_cast<const uint8_t *>(data.data()), data.size()};
}

void SafeTensors::release(const TensorInfo &info) const {
  if (buffers[info.file]->getBufferKind() != MemoryBuffer::MemoryBuffer_MMap)
    return;
  // Only whole pages: the edges may belong to neighbours still in use.
  uintptr_t page = sys::Process::getPageSizeEstimate();
  ArrayRef<uint8_t> data = bytes(info);
  uintptr_t begin = alignTo(reinterpret_cast<uintptr_t>(data.begin()), page);
  uintptr_t end = alignDown(reinterpret_cast<uintptr_t>(data.end()), page);
  if (begin < end)
    ::madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
}

} // namespace lfmc
