// SPDX-License-Identifier: Apache-2.0
//
// Rope tables: cosines and sines of the rotary position embedding, rounded as
// the reference (transformers on torch) rounds them.
#ifndef LFMC_CODEGEN_PACK_ROPE_H
#define LFMC_CODEGEN_PACK_ROPE_H

#include <cstdint>
#include <vector>

namespace lfmc::pack {

/// Inverse frequencies 1 / theta^(2i/dim), i < dim/2, in f32 arithmetic.
std::vector<float> ropeInverseFrequencies(double theta, int64_t dim);

/// Rows [begin, end) of the table: row p is [cos 0..dim/2, sin 0..dim/2] of the
/// f32 angles float(p) * frequency. `to` has (end - begin) * 2 *
/// frequencies.size() elements.
void ropeRows(const std::vector<float> &frequencies, int64_t begin, int64_t end,
              float *to);

} // namespace lfmc::pack

#endif // LFMC_CODEGEN_PACK_ROPE_H
