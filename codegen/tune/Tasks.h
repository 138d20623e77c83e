// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_TUNE_TASKS_H
#define LFMC_CODEGEN_TUNE_TASKS_H

#include "dialects/lfm2/Lfm2.h"
#include "targets/Target.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace lfmc::tune {

/// What Space::kernel of a linear says.
struct LinearShape {
  int64_t n = 0, k = 0; ///< rows and columns of the weight
  lfm2::StoredKind kind = lfm2::StoredKind::F32;
  int64_t block = 0; ///< 0: not quantized
  bool swiglu = false, bias = false;

  /// Errors quote the name.
  static llvm::Expected<LinearShape> parse(llvm::StringRef kernel);
  double weightBytes() const;
  double products() const { return double(n) * k; } ///< for one token
};

/// What Space::kernel of an attention says.
struct AttentionShape {
  int64_t heads = 0, kvHeads = 0, dim = 0;
  lfm2::StoredKind kind = lfm2::StoredKind::F32; ///< of the caches
  int64_t window = 0;                            ///< 0: all positions

  /// Errors quote the name.
  static llvm::Expected<AttentionShape> parse(llvm::StringRef kernel);
  int64_t group() const { return heads / kvHeads; }
  /// Of one of the caches, a head at one position.
  int64_t rowBytes() const;
  double cacheBytes(int64_t positions) const;
};

/// Positions that the attention of one token is tuned for.
inline constexpr int64_t tunedPositions = 2048;

/// What a call of a kernel does at least, for its place under the roofline.
struct Cost {
  double bytes = 0;      ///< read from memory, of weights and caches
  double operations = 0; ///< a multiply-add counts two
  bool integers = false; ///< products of 8 bits; else of f32
  bool bounded = true;   ///< by memory or products; else nothing is known
};

/// Of `tokens` tokens, one of them behind tunedPositions - 1 others, several
/// from the first on; nothing for a name that is no Space::kernel.
std::optional<Cost> costOf(llvm::StringRef kernel, int64_t tokens);

/// The kernels of an op, for one token and for many, and what they cost.
struct Task {
  std::string kernel; ///< Space::kernel
  /// Of the time of a decoded token and of a prompt's; 0: not run in that step.
  double share[2] = {0, 0};
};

/// The distinct kernels of a program before kernel selection that `target` lets
/// be tuned, the costliest first. A decoded token costs the bytes of weights
/// and caches, a prompt of 512 the products, those of floats four times; that
/// of the head counts for decoding only. What is done token by token counts
/// eight operations, or bytes, for each value.
std::vector<Task> tasksOf(mlir::ModuleOp module, const Target &target);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_TASKS_H
