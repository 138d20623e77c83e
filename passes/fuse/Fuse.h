// SPDX-License-Identifier: Apache-2.0
//
// What the fusion passes share: the loop over candidates and questions about
// rows. All of it works on one function, within its blocks.
#ifndef LFMC_PASSES_FUSE_FUSE_H
#define LFMC_PASSES_FUSE_FUSE_H

#include "dialects/lfm2/Lfm2.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

#include <optional>

namespace lfmc {

/// Calls `fuse(op, rewriter)` on every `OpTy` of `function` in program order,
/// again until no call succeeds, and returns the number of successes. `fuse`
/// checks first and changes the IR only when it will succeed; it may erase `op`
/// and ops of other types, but no other `OpTy`.
template <typename OpTy, typename Fuse>
int64_t fuseAll(mlir::func::FuncOp function, Fuse fuse) {
  mlir::IRRewriter rewriter(function.getContext());
  int64_t total = 0;
  for (int64_t round = -1; round != 0; total += round) {
    llvm::SmallVector<OpTy> candidates;
    function.walk([&](OpTy op) { candidates.push_back(op); });
    round = 0;
    for (OpTy op : candidates)
      round += mlir::succeeded(fuse(op, rewriter));
  }
  return total;
}

/// A block of columns of a matrix of rows.
struct Columns {
  mlir::Value source; ///< tensor<tokens x width x f32>
  int64_t offset;     ///< first column
  int64_t width;      ///< number of columns
};

/// The columns that `value` takes from another value by a tensor.extract_slice
/// of unit strides that keeps all rows; nothing for any other value. Rows with
/// a dynamic extent are recognised when the extent is `tensor.dim` of a value
/// with the same tokens.
std::optional<Columns> matchColumns(mlir::Value value);

/// The value that determines how many rows `value` has: follows ops that keep
/// their rows (norms, linears, element-wise ops, ...) up to an argument or an
/// op of another kind.
mlir::Value rowsOf(mlir::Value value);

/// Whether every user of `op`'s results comes after `point` in `op`'s block (a
/// user in a nested region counts as the op of the block that holds it).
bool usersComeAfter(mlir::Operation *op, mlir::Operation *point);

} // namespace lfmc

#endif // LFMC_PASSES_FUSE_FUSE_H
