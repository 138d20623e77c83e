// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Reduce.h"

using namespace Halide;

namespace lfmc::halide {

Reduction::Reduction(Kind kind, const std::string &name, int extent,
                     const Machine &machine,
                     std::function<Expr(Expr, Expr)> term)
    : partial(name + "_partial"), folded(name + "_folded"), total(name) {
  int lanes = machine.lanes;
  while (lanes > extent)
    lanes /= 2;
  // Four vectors of partial results hide the latency of one operation.
  const int vectors = extent >= 4 * lanes ? 4 : 1;
  const int width = lanes * vectors;
  const int steps = extent / width, rest = extent % width;
  auto combine = [kind](Expr a, Expr b) {
    return kind == Sum ? a + b : max(a, b);
  };
  // Finite, so that no infinity enters arithmetic that assumes none.
  Expr neutral = kind == Sum ? Expr(0.0f) : Expr(-1e30f);

  Var l("l"), o("o"), v("v");
  RDom main(0, steps, "main");
  partial(l, o) = neutral;
  partial(l, o) = combine(partial(l, o), term(main * width + l, o));
  partial.store_in(MemoryType::Stack).bound(l, 0, width);
  partial.vectorize(l, lanes).unroll(l);
  partial.update(0).reorder(l, main, o).vectorize(l, lanes).unroll(l);
  if (rest) {
    RDom tail(0, rest, "tail");
    partial(tail, o) =
        combine(partial(tail, o), term(Expr(steps * width) + tail, o));
    partial.update(1).reorder(tail, o);
  }

  Expr fold = partial(l, o);
  for (int i = 1; i < vectors; ++i)
    fold = combine(fold, partial(l + i * lanes, o));
  folded(l, o) = fold;
  folded.store_in(MemoryType::Stack).bound(l, 0, lanes).vectorize(l, lanes);

  RDom across(0, lanes, "across");
  total(o) = neutral;
  total(o) = combine(total(o), folded(across, o));
  total.store_in(MemoryType::Stack);
  if (lanes > 1)
    total.update().atomic().vectorize(across);
  folded.compute_at(total, o);
  partial.compute_at(total, o);
  total.compute_root();
}

void Reduction::computeAt(Func func, Var var) { total.compute_at(func, var); }

} // namespace lfmc::halide
