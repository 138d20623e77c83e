// SPDX-License-Identifier: Apache-2.0
//
// Reader of safetensors checkpoints, one file or several shards.
//
// A file is: u64 little-endian length N of the header, N bytes of JSON that map
// a tensor's name to {"dtype", "shape", "data_offsets": [begin, end)} (offsets
// count from the end of the header), then the data. Everything is validated
// when a checkpoint is opened; afterwards every byte range is known to lie in
// its file, to match shape and element type, and to belong to one tensor.
#ifndef LFMC_FRONTEND_SAFETENSORS_H
#define LFMC_FRONTEND_SAFETENSORS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lfmc {

/// Element types of the format and, from Q4_0 on, the block types of GGUF,
/// whose blocks of a row hold 32 or 256 elements.
// clang-format off
enum class DType : uint8_t {
  Bool, U8, I8, F8E5M2, F8E4M3, F8E8M0, I16, U16, F16, BF16,
  I32, U32, F32, I64, U64, F64, C64,
  Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K
};
// clang-format on

/// The format's spelling, e.g. "BF16".
llvm::StringRef dtypeName(DType type);
/// The type of a safetensors file spelled `name`, if there is one.
std::optional<DType> parseDType(llvm::StringRef name);
/// Bytes of one element, or of one block.
unsigned dtypeBytes(DType type);
/// Elements of a block: 1 for all types but GGUF's.
unsigned dtypeElements(DType type);
/// Whether lfmc can compile weights of this type: F32, F16, BF16 and blocks.
bool isWeightDType(DType type);

/// One tensor of a checkpoint.
struct TensorInfo {
  std::string name;
  DType dtype = DType::F32;
  /// Outermost dimension first, row-major; [] is a scalar. No product of
  /// dimensions overflows.
  std::vector<int64_t> shape;
  /// Index into the checkpoint's files.
  unsigned file = 0;
  /// Byte range [begin, end) from the start of the file. No alignment is
  /// promised.
  uint64_t begin = 0, end = 0;

  uint64_t numBytes() const { return end - begin; }
  int64_t numElements() const;
};

/// An open checkpoint. Movable; pointers to its TensorInfos and bytes stay
/// valid as long as it lives. Thread-safe for reading.
class SafeTensors {
public:
  /// The tensors of one file of another format (see Gguf.h), whose contents are
  /// `buffer`. names[i] is what infos[i] is found by; all differ.
  SafeTensors(std::string path, std::unique_ptr<llvm::MemoryBuffer> buffer,
              std::vector<TensorInfo> infos, llvm::ArrayRef<std::string> names);

  /// Opens `path`: a .safetensors file, an index (….safetensors.index.json), or
  /// a directory with model.safetensors or else model.safetensors.index.json.
  static llvm::Expected<SafeTensors> open(llvm::StringRef path);

  /// A part of a tensor: what it is found by, what messages call it.
  struct Piece {
    std::string name, title;
    std::vector<int64_t> shape;
  };
  /// Replaces each tensor for which `pieces(name, info)` gives some by them,
  /// one after the other in its data, which they make up in equal parts. Fails
  /// when a piece has the name of another tensor. Invalidates pointers to
  /// TensorInfos.
  llvm::Error split(llvm::function_ref<llvm::Expected<std::vector<Piece>>(
                        llvm::StringRef, const TensorInfo &)>
                        pieces);

  /// The tensor called `name`, or null.
  const TensorInfo *find(llvm::StringRef name) const;

  /// All tensors in the order of their data: by file, then by offset.
  llvm::ArrayRef<TensorInfo> tensors() const { return infos; }

  /// The data of `info`, little-endian, row-major, *unaligned*: read elements
  /// with memcpy. Valid as long as this object.
  llvm::ArrayRef<uint8_t> bytes(const TensorInfo &info) const;

  /// Tells the operating system that the pages of `info` will not be needed
  /// again soon, so that a large checkpoint can stream through little memory.
  void release(const TensorInfo &info) const;

  /// Path of file number `file`.
  llvm::StringRef filePath(unsigned file) const { return paths[file]; }
  unsigned numFiles() const { return paths.size(); }

private:
  SafeTensors() = default;
  llvm::Error addFile(const std::string &path);
  llvm::Error addShards(const std::string &indexPath);

  std::vector<std::string> paths;
  std::vector<std::unique_ptr<llvm::MemoryBuffer>> buffers;
  std::vector<TensorInfo> infos;
  llvm::StringMap<size_t> byName;
};

/// Largest header that is accepted, in bytes.
inline constexpr uint64_t maxSafeTensorsHeader = 100'000'000;

/// Parses and validates the header of a safetensors file of `fileBytes` bytes.
/// `file` holds at least the length field and the header; `path` names it in
/// messages. Returns the tensors by ascending offset, with `file` 0.
llvm::Expected<std::vector<TensorInfo>>
parseSafeTensorsHeader(llvm::StringRef file, uint64_t fileBytes,
                       llvm::StringRef path);

} // namespace lfmc

#endif // LFMC_FRONTEND_SAFETENSORS_H
