// SPDX-License-Identifier: Apache-2.0
//
// The parameters of attention_block (Attention.cpp), for every backend.
#ifndef LFMC_CODEGEN_HALIDE_ATTENTIONSHAPE_H
#define LFMC_CODEGEN_HALIDE_ATTENTIONSHAPE_H

#include "codegen/halide/Params.h"

namespace lfmc::halide {

/// Of one step: T tokens of G heads each, N positions, D dimensions.
struct AttentionShape {
  int dim, group, tokens, block;
  int lanes;   // adjacent positions of the K cache
  int qStride; // elements between two tokens' queries
  int window;  // positions that a token sees; 0: all
  float scale;
  /// Vector registers that the two products may use.
  int scoreRegisters, sumRegisters;

  int rows() const { return tokens * group; }

  /// Reads all parameters but "kvtype". Throws ParameterError.
  AttentionShape(const Params &params, int registers);
};

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_ATTENTIONSHAPE_H
