// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/AttentionShape.h"

namespace lfmc::halide {

AttentionShape::AttentionShape(const Params &params, int registers)
    : dim(params.size("dim")), group(params.size("group", 1)),
      tokens(params.size("tokens", 1)), block(params.size("block")),
      lanes(params.integer("lanes", 16, 1, 256)),
      qStride(params.size("q_stride", int64_t(group) * dim)),
      window(params.integer("window", 0, 0, 1 << 30)),
      scale(params.real("scale")),
      scoreRegisters(params.integer("score_registers", registers, 2, 256)),
      sumRegisters(params.integer("sum_registers", registers, 2, 256)) {
  if (block % lanes)
    params.fail("parameter 'block' must be a multiple of 'lanes'");
  // Scores and weights live on the stack.
  if (int64_t(rows()) * block > 8192)
    params.fail("tokens * group * block exceeds 8192");
}

} // namespace lfmc::halide
