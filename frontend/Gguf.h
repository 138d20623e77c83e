// SPDX-License-Identifier: Apache-2.0
//
// Reader of GGUF files, versions 2 and 3, little-endian.
//
// A file is: "GGUF", u32 version, u64 number of tensors, u64 number of metadata
// entries; the entries (key, u32 type, value); for each tensor its name, u32
// number of dimensions, the dimensions (innermost first), u32 type and u64
// offset; then, from a multiple of `general.alignment` (32) on, the data, from
// which the offsets count. A string is a u64 length and UTF-8 bytes.
#ifndef LFMC_FRONTEND_GGUF_H
#define LFMC_FRONTEND_GGUF_H

#include "frontend/SafeTensors.h"

#include <nlohmann/json.hpp>

namespace lfmc {

/// What a file says. Everything is validated: keys and names differ, text is
/// UTF-8, every byte range lies in the file, is aligned, fits shape and type,
/// and belongs to one tensor.
struct GgufHeader {
  /// All metadata, by full key: "lfm2.block_count". Floats are the shortest
  /// decimals that stand for them, so that 1e-5f reads as 1e-5.
  nlohmann::json metadata = nlohmann::json::object();
  /// In the order of their data, `file` 0, shapes outermost dimension first.
  /// Types are those of isWeightDType and I8 to I64, F64.
  std::vector<TensorInfo> tensors;
};

/// Whether `path` is a regular file that begins as a GGUF file does or is named
/// as one: what is to be read as GGUF, if only to say what is wrong with it.
bool isGguf(llvm::StringRef path);

/// Parses and validates the header of a GGUF file of `fileBytes` bytes. `file`
/// holds at least the header; `path` names it in messages. Counts and lengths
/// are believed only as far as the file has bytes for them; arrays of all
/// entries together may have 2^24 elements.
llvm::Expected<GgufHeader>
parseGgufHeader(llvm::StringRef file, uint64_t fileBytes, llvm::StringRef path);

/// Opens the file `path` and parses its header. `buffer`, if not null, receives
/// the file's contents.
llvm::Expected<GgufHeader>
readGguf(llvm::StringRef path,
         std::unique_ptr<llvm::MemoryBuffer> *buffer = nullptr);

} // namespace lfmc

#endif // LFMC_FRONTEND_GGUF_H
