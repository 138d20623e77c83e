// SPDX-License-Identifier: Apache-2.0
//
// What the expansions share: a builder with a location that speaks in loop
// letters ("ntk") and scalar functions.
#ifndef LFMC_PASSES_EXPAND_EMITTER_H
#define LFMC_PASSES_EXPAND_EMITTER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace lfmc::expand {

using Sizes = llvm::SmallVector<mlir::OpFoldResult>;

/// Emits tensor code at one location. Scalars handed to a Body are f32,
/// whatever the tensors hold.
class Emitter : public mlir::ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  /// Receives one f32 scalar per input and then per init, returns one per init.
  using Body = llvm::function_ref<llvm::SmallVector<mlir::Value>(
      Emitter &, mlir::ValueRange)>;

  /// The operand of an lfm2 op as the expansion reads it: without encoding, in
  /// the type that lies in memory.
  mlir::Value operand(mlir::Value value);

  mlir::OpFoldResult size(mlir::Value tensor, unsigned dim);
  mlir::Value index(int64_t value);
  mlir::Value index(mlir::OpFoldResult value);
  mlir::Value f32(double value);
  mlir::Value empty(const Sizes &sizes, mlir::Type elementType);
  mlir::Value empty(const Sizes &sizes) { return empty(sizes, getF32Type()); }
  mlir::Value filled(const Sizes &sizes, double value);

  /// A linalg.generic. `loops` names the loops from outer to inner, one letter
  /// each, capitals are reductions; a map such as "tk" gives a tensor's
  /// indices, "t+j" adds two loops. Inputs come first in `maps`, then inits.
  llvm::SmallVector<mlir::Value> loopNest(llvm::StringRef loops,
                                          llvm::ArrayRef<llvm::StringRef> maps,
                                          mlir::ValueRange inputs,
                                          mlir::ValueRange inits, Body body);

  /// loopNest over `loops` = the init's indices, for one init.
  mlir::Value elementwise(llvm::StringRef loops,
                          llvm::ArrayRef<llvm::StringRef> maps,
                          mlir::ValueRange inputs, mlir::Value init, Body body);

  /// Sum of products over the capital letters of `loops`, added to `init`. The
  /// order of the additions is free (reassoc).
  mlir::Value contract(llvm::StringRef loops,
                       llvm::ArrayRef<llvm::StringRef> maps, mlir::Value left,
                       mlir::Value right, mlir::Value init);

  /// Rows [T, a*b*..] seen as [T, a, b, ..] and back.
  mlir::Value split(mlir::Value rows, llvm::ArrayRef<int64_t> groups);
  mlir::Value join(mlir::Value tensor);

  /// A slice of unit strides (or `stride` in the last dimension); the result
  /// drops the first dimension with `dropFirst`, whose size is then 1.
  mlir::Value slice(mlir::Value tensor, Sizes offsets, Sizes sizes,
                    bool dropFirst = false, int64_t stride = 1);
  mlir::Value insert(mlir::Value tensor, mlir::Value into, Sizes offsets,
                     Sizes sizes, int64_t stride = 1);

  // Scalars.
  mlir::Value add(mlir::Value l, mlir::Value r);
  mlir::Value sub(mlir::Value l, mlir::Value r);
  mlir::Value mul(mlir::Value l, mlir::Value r);
  mlir::Value div(mlir::Value l, mlir::Value r);
  /// `l + r` in any order with the other additions of a sum.
  mlir::Value accumulate(mlir::Value l, mlir::Value r);
  /// e^x within 2 ulp, also where the result is subnormal; e^nan is nan.
  mlir::Value exp(mlir::Value x);
  /// x / (1 + e^-x).
  mlir::Value silu(mlir::Value x);
  /// Cosine and sine of an f32 angle of at most 2^30 rad, within 1e-7.
  std::pair<mlir::Value, mlir::Value> cosSin(mlir::Value angle);

private:
  mlir::Value horner(mlir::Value x, llvm::ArrayRef<double> coefficients);
};

/// `weight * (x * rsqrt(mean(x^2) + eps))` over groups of the weight's size.
mlir::Value rmsNorm(Emitter &e, mlir::Value x, mlir::Value weight, double eps);

/// Rows of groups `[tokens, groups, size]`, each group rounded as lfm2.quantize
/// rounds a block: `scale * round(x / scale)`, `scale = max|x| / 127`.
mlir::Value roundToInt8(Emitter &e, mlir::Value groups);

// The patterns, by file.
void populateLinear(mlir::RewritePatternSet &patterns);
void populateShortConv(mlir::RewritePatternSet &patterns);
void populateRope(mlir::RewritePatternSet &patterns);
void populateAttention(mlir::RewritePatternSet &patterns);
void populateExperts(mlir::RewritePatternSet &patterns);

} // namespace lfmc::expand

#endif // LFMC_PASSES_EXPAND_EMITTER_H
