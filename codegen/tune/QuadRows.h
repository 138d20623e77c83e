// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_TUNE_QUADROWS_H
#define LFMC_CODEGEN_TUNE_QUADROWS_H

#include <cstdint>
#include <vector>

namespace lfmc::tune {

/// Quantized rows of `k` columns (k codes, k / 32 f32 scales, k / 32 i32 sums
/// each), a multiple of four of them, as smmla reads them: quads of the same
/// bytes, in the order of codegen/llvm/micro/ArmTile.h.
/// `shared` columns have one scale and sum, the first of a row's places.
std::vector<uint8_t> toQuads(const std::vector<uint8_t> &rows, int64_t k,
                             int64_t shared);

/// The same for a multiple of sixteen rows, as outer products read them
/// (codegen/llvm/micro/Sixteens.cpp).
std::vector<uint8_t> toSixteens(const std::vector<uint8_t> &rows, int64_t k,
                                int64_t shared);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_QUADROWS_H
