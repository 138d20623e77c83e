// SPDX-License-Identifier: Apache-2.0
//
// Element formats and panel layouts of stored weights: the inner loops of the
// packer. Plain functions on memory, no IR and no files.
#ifndef LFMC_CODEGEN_PACK_FORMATS_H
#define LFMC_CODEGEN_PACK_FORMATS_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace lfmc::pack {

/// Element formats, little-endian. From Q4_0 on GGUF's block types (see
/// Dequantize.h), which can be read only.
// clang-format off
enum class Format : uint8_t {
  F32, BF16, F16, Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K
};
// clang-format on

/// Bytes of one element. Not for block types.
constexpr int64_t formatBytes(Format format) {
  return format == Format::F32 ? 4 : 2;
}

/// "f32", "bf16", "f16". Not for block types.
const char *formatName(Format format);

/// Converts the elements [first, first + n) of `from` to `to`, neither of which
/// need be aligned, rounding to nearest, ties to even. Returns false if an
/// element is NaN or infinite, or becomes infinite in the format `to`; `to` is
/// written all the same.
bool convert(Format fromFormat, const uint8_t *from, Format toFormat,
             uint8_t *to, int64_t n, int64_t first = 0);

/// The first of the elements [first, first + n) that makes `convert` return
/// false, counted from `first`, or -1.
int64_t findBad(Format fromFormat, const uint8_t *from, Format toFormat,
                int64_t n, int64_t first = 0);

/// Value of element `index`, for messages.
float valueAt(Format format, const uint8_t *data, int64_t index);

/// `#lfm2.panels`: order [N/rows][K/depth][rows][depth]; with `halves` the rows
/// of a panel come half from each half of the matrix. `raised`: codes of 8 bits
/// are stored plus 128, scales without their sign.
struct Panels {
  int64_t rows = 1, depth = 1;
  bool halves = false, raised = false;
};

/// A matrix of `columns` columns in pieces that are stacked by rows, each
/// row-major without gaps, in its own format, unaligned.
struct Matrix {
  struct Piece {
    const uint8_t *data;
    int64_t rows;
    Format format;
  };
  std::vector<Piece> pieces;
  int64_t columns = 0;
  /// What readRow multiplies, [rows] and [columns]; null: nothing.
  const float *rowFactors = nullptr, *columnFactors = nullptr;

  int64_t rows() const;
};

/// Where row `row` of a matrix lies: row `row` of piece `piece`.
struct RowPosition {
  size_t piece;
  int64_t row;
};
RowPosition locate(const Matrix &matrix, int64_t row);

/// A part of the stored form that is contiguous there: groups of `depth`
/// columns [beginGroup, endGroup) of the panels [beginPanel, endPanel). Either
/// whole panels, or groups of a single one.
struct Part {
  int64_t beginPanel, endPanel, beginGroup, endGroup;

  /// Elements in the part.
  int64_t elements(const Panels &panels) const {
    return (endPanel - beginPanel) * (endGroup - beginGroup) * panels.rows *
           panels.depth;
  }
};

/// The stored form of a rows x columns matrix cut into parts of about `bytes`
/// bytes, in the order in which they lie.
std::vector<Part> partition(const Panels &panels, int64_t rows, int64_t columns,
                            Format format, int64_t bytes);

/// An element that has no finite value in the format wanted.
struct BadElement {
  size_t piece;  ///< index into Matrix::pieces
  int64_t index; ///< element of the piece, row-major
  float value;
};

/// Writes `part` of the stored form of `matrix` in `format` to `to` (aligned to
/// 8). `panels.rows` must divide the number of rows and `panels.depth` the
/// number of columns. Returns the first element that does not fit the format,
/// if any.
std::optional<BadElement> packPart(const Matrix &matrix, const Panels &panels,
                                   Format format, const Part &part,
                                   uint8_t *to);

/// Reads row `row` of the stacked matrix as f32, times its factors. Returns the
/// first element that is not finite, if any.
std::optional<BadElement> readRow(const Matrix &matrix, int64_t row,
                                  float *values);

/// Names an element of the stacked matrix.
BadElement badElementOf(const Matrix &matrix, int64_t row, int64_t column,
                        float value);

} // namespace lfmc::pack

#endif // LFMC_CODEGEN_PACK_FORMATS_H
