// SPDX-License-Identifier: Apache-2.0
//
// Streaming writer of safetensors files: constant memory, all or nothing.
#ifndef LFMC_FRONTEND_SAFETENSORSWRITER_H
#define LFMC_FRONTEND_SAFETENSORSWRITER_H

#include "frontend/SafeTensors.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace lfmc {

/// Name, element type and shape of a tensor that will be written.
struct TensorSpec {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;

  /// Bytes of its data. The shape must not overflow.
  uint64_t numBytes() const;
};

/// Writes one file. The header is written by create(); the data follows through
/// append() in the order of the specs. The file appears under its name only
/// when finish() succeeds: until then it is a temporary file beside it, which
/// is removed when anything fails, on destruction, and on SIGINT.
class SafeTensorsWriter {
public:
  /// Starts a file for `specs`. Errors: duplicate or reserved names, negative
  /// or overflowing shapes, an unwritable directory.
  static llvm::Expected<std::unique_ptr<SafeTensorsWriter>>
  create(llvm::StringRef path, std::vector<TensorSpec> specs);

  ~SafeTensorsWriter();
  SafeTensorsWriter(const SafeTensorsWriter &) = delete;
  SafeTensorsWriter &operator=(const SafeTensorsWriter &) = delete;

  /// Appends `data` (little-endian) to the tensor that is being written, which
  /// must be `name`; a tensor may come in any number of pieces. Writing errors
  /// such as a full disk may be reported by a later call.
  llvm::Error append(llvm::StringRef name, llvm::ArrayRef<uint8_t> data);

  /// Checks that all data came, then renames the file into place. Call once.
  llvm::Error finish();

private:
  SafeTensorsWriter(std::string path, std::vector<TensorSpec> specs,
                    llvm::sys::fs::TempFile temp);
  llvm::Error checkStream();

  std::string path;
  std::vector<TensorSpec> specs;
  llvm::sys::fs::TempFile temp;
  llvm::raw_fd_ostream out;
  size_t current = 0;   // the tensor that is being written
  uint64_t written = 0; // bytes of it
  bool finished = false;
};

/// Writes `contents` to `path` all or nothing, as SafeTensorsWriter does.
llvm::Error writeFileAtomically(llvm::StringRef path, llvm::StringRef contents);

} // namespace lfmc

#endif // LFMC_FRONTEND_SAFETENSORSWRITER_H
