// SPDX-License-Identifier: Apache-2.0
//
// From rows of values to codes and scales: what the packer asks for each
// quantized weight.
#ifndef LFMC_CODEGEN_PACK_ROWQUANTIZER_H
#define LFMC_CODEGEN_PACK_ROWQUANTIZER_H

#include "codegen/pack/Quantize.h"

#include <memory>

namespace lfmc::pack {

class RowQuantizer {
public:
  virtual ~RowQuantizer() = default;

  /// Quantizes `rows` rows of `columns` finite values, [rows][columns], which
  /// it may overwrite: `codes` are [rows][columns], `scales` [rows][columns /
  /// block]. Returns the index of a value whose block has a factor that does
  /// not fit f16, or -1. Thread-safe; what becomes of a row depends on its
  /// values alone, not on its company.
  virtual int64_t quantize(float *values, int64_t rows, int64_t columns,
                           const Blocks &blocks, int8_t *codes,
                           BlockScale *scales) const = 0;

  /// What quantizes row `row` of the whole matrix, if rows differ in that; else
  /// null: this. Thread-safe.
  virtual std::shared_ptr<const RowQuantizer> ofRow(int64_t /*row*/) const {
    return nullptr;
  }
};

/// quantizer.quantize for the rows `rows` of the matrix, whose values lie side
/// by side, each by what its ofRow says.
int64_t quantizeRows(const RowQuantizer &quantizer,
                     const std::vector<int64_t> &rows, float *values,
                     int64_t columns, const Blocks &blocks, int8_t *codes,
                     BlockScale *scales);

/// quantizeBlock for every block: the bits of GGUF's Q4_0 and Q8_0.
class NearestQuantizer : public RowQuantizer {
public:
  int64_t quantize(float *values, int64_t rows, int64_t columns,
                   const Blocks &blocks, int8_t *codes,
                   BlockScale *scales) const override;
};

/// Replaces the rows of a matrix, from the first on, by the values that their
/// codes stand for. Returns like quantize.
int64_t roundRows(const RowQuantizer &quantizer, float *values, int64_t rows,
                  int64_t columns, const Blocks &blocks);

} // namespace lfmc::pack

#endif // LFMC_CODEGEN_PACK_ROWQUANTIZER_H
