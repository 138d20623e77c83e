// SPDX-License-Identifier: Apache-2.0
//
// The packer: writes NAME.weights, the file that generated code reads in place.
//
// What lies where comes from the module's `lfm2.weight` symbols alone: type
// (shape, element format, layout), source and offset. The checkpoint's bytes
// stream through a few megabytes of buffers per thread.
#ifndef LFMC_CODEGEN_PACK_PACK_H
#define LFMC_CODEGEN_PACK_PACK_H

#include "frontend/SafeTensors.h"
#include "mlir/IR/BuiltinOps.h"

#include <array>
#include <functional>

namespace lfmc {

/// Where the packer finds checkpoint tensors by the names in the IR.
struct WeightSource {
  const SafeTensors &tensors;
  /// The tensor of that name, or null. Empty: tensors.find.
  std::function<const TensorInfo *(llvm::StringRef)> find;
};

struct PackOptions {
  unsigned jobs = 0; ///< threads; 0: all cores
  /// Called with bytes written and in all, from any thread, one at a time.
  std::function<void(uint64_t, uint64_t)> progress;
};

/// What the program must know about the file.
struct PackedWeights {
  std::array<uint8_t, 16>
      id; ///< of layout and contents, lfm_program.weights_id
  uint64_t fileBytes;
};

/// Size of the file that packWeights writes for `module`. Fails for weights
/// without an offset, or with overlapping, unaligned or impossible ones.
llvm::Expected<uint64_t> weightsFileBytes(mlir::ModuleOp module);

/// Writes `path` all or nothing (a temporary file beside it, then a rename).
/// Errors: sources that are missing or do not make up the weight's shape,
/// elements that are NaN, infinite or too large for the stored format (tensor
/// and index are named), a full disk.
llvm::Expected<PackedWeights> packWeights(mlir::ModuleOp module,
                                          const WeightSource &source,
                                          llvm::StringRef path,
                                          const PackOptions &options = {});

} // namespace lfmc

#endif // LFMC_CODEGEN_PACK_PACK_H
