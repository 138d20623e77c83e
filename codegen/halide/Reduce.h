// SPDX-License-Identifier: Apache-2.0
//
// Vectorized reductions over a static extent.
#ifndef LFMC_CODEGEN_HALIDE_REDUCE_H
#define LFMC_CODEGEN_HALIDE_REDUCE_H

#include "codegen/halide/Family.h"

#include <functional>

namespace lfmc::halide {

/// A sum or maximum over i in [0, extent) for each value of one outer variable.
/// Call it, then place it with computeAt (or leave it at the root).
struct Reduction {
  enum Kind { Sum, Max };

  /// `term(i, outer)` is the reduced expression.
  Reduction(Kind kind, const std::string &name, int extent,
            const Machine &machine,
            std::function<Halide::Expr(Halide::Expr, Halide::Expr)> term);

  /// The result for `outer`.
  Halide::Expr operator()(Halide::Expr outer) const { return total(outer); }

  /// Computes the reduction once per iteration of `func`'s loop `var`.
  void computeAt(Halide::Func func, Halide::Var var);

private:
  Halide::Func partial, folded, total;
};

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_REDUCE_H
