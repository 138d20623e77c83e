// SPDX-License-Identifier: Apache-2.0
//
// The expansion of lfm2 ops to linalg, tensor, scf and arith: the written
// semantics of the dialect, the reference executor's implementation and the
// fallback kernel of code generation.
//
// The result needs no math library: exp, sin and cos become polynomials, and
// the only op of the math dialect is math.sqrt, an instruction on every target
// with floats. All arithmetic is f32, but for the reduction of rope angles
// (f64).
//
// Weights are read row-major. An operand with a `#lfm2.stored` encoding enters
// through a tensor.cast that drops it; an operand made by an arith.extf of a
// tensor of bf16 or f16 is read in that type, element by element.
#ifndef LFMC_PASSES_EXPAND_EXPAND_H
#define LFMC_PASSES_EXPAND_EXPAND_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/PatternMatch.h"

namespace lfmc {

/// Adds one pattern for each lfm2 op that computes. lfm2.param and the symbols
/// have none.
void populateExpandPatterns(mlir::RewritePatternSet &patterns);

/// Expands every lfm2 op of `function` but lfm2.param. Arguments with a
/// `#lfm2.stored` encoding lose it (the function's type changes); an lfm2.param
/// keeps its type and is followed by a tensor.cast. Fails, with an error at the
/// op, if a lfm2 op is left or an encoded argument has another user than the
/// expanded ops. The context needs the dialects of `lfmc-expand` loaded.
mlir::LogicalResult expandToLinalg(mlir::func::FuncOp function);

} // namespace lfmc

#endif // LFMC_PASSES_EXPAND_EXPAND_H
