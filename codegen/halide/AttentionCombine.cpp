// SPDX-License-Identifier: Apache-2.0
//
// attention_combine: the attention of G query heads from `pieces` pieces of the
// cache (at most max_pieces), each left by attention_block:
//   top[g] = max over p of m[p][g]
//   y[g][d] = sum over p of exp(m[p][g] - top[g]) * acc[p][g][d]
//             / sum over p of exp(m[p][g] - top[g]) * l[p][g]
// in the order of the pieces. Pieces lie `stride` floats apart, their parts as
// the three pointers say; each m is finite (see attention_block).
#include "codegen/halide/Families.h"
#include "codegen/halide/Math.h"

using namespace Halide;

namespace lfmc::halide {

std::vector<Argument> attentionCombineArguments(const Params &) {
  return argumentList({"m", "l", "acc"}, {"y"}, {"pieces"});
}

Pipeline buildAttentionCombine(const Params &params, const Machine &machine) {
  const int dim = params.size("dim"), group = params.size("group", 1);
  const int most = params.size("max_pieces", 1 << 20);
  const int stride = params.size("stride", int64_t(group) * (dim + 2));
  ImageParam m = input("m", Float(32), {{group, 1}, {most, stride}});
  ImageParam l = input("l", Float(32), {{group, 1}, {most, stride}});
  ImageParam acc =
      input("acc", Float(32), {{dim, 1}, {group, dim}, {most, stride}});
  Param<int32_t> pieces("pieces");

  Var d("d"), g("g"), p("p");
  RDom all(1, pieces - 1, "all"), rm(0, pieces, "rm"), rl(0, pieces, "rl");
  Func top("top"), mass("mass"), sum("sum"), share("share"), y("y");
  top(g) = -1e30f;
  top(g) = max(top(g), m(g, rm));
  mass(g) = 0.0f;
  mass(g) += expF32(m(g, rl) - top(g)) * l(g, rl);
  share(g, p) = expF32(m(g, p) - top(g));
  // Not from zero: a loop of zeros would become a call of memset.
  sum(d, g) = expF32(m(g, 0) - top(g)) * acc(d, g, 0);
  sum(d, g) += share(g, all) * acc(d, g, all);
  y(d, g) = strict_float(sum(d, g) / mass(g));

  top.compute_at(y, g).store_in(MemoryType::Stack);
  mass.compute_at(y, g).store_in(MemoryType::Stack);
  sum.compute_at(y, g).store_in(MemoryType::Stack);
  vectorizeLoop(sum, d, dim, machine.lanes);
  sum.update().reorder(d, all);
  vectorizeLoop(sum.update(), d, dim, machine.lanes);
  share.compute_at(sum, all).store_in(MemoryType::Stack);
  vectorizeLoop(y, d, dim, machine.lanes);
  pinOutput(y, {{dim, 1}, {group, dim}});
  return {{m, l, acc}, {y}, {pieces}};
}

} // namespace lfmc::halide
