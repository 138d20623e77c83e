// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Formats.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lfmc::pack {

int64_t Matrix::rows() const {
  int64_t sum = 0;
  for (const Piece &piece : pieces)
    sum += piece.rows;
  return sum;
}

RowPosition locate(const Matrix &matrix, int64_t row) {
  size_t piece = 0;
  while (row >= matrix.pieces[piece].rows)
    row -= matrix.pieces[piece++].rows;
  return {piece, row};
}

std::vector<Part> partition(const Panels &panels, int64_t rows, int64_t columns,
                            Format format, int64_t bytes) {
  int64_t numPanels = rows / panels.rows, groups = columns / panels.depth;
  int64_t groupBytes = panels.rows * panels.depth * formatBytes(format);
  std::vector<Part> parts;
  if (groupBytes * groups <= bytes) {
    int64_t step =
        std::max<int64_t>(1, bytes / std::max<int64_t>(1, groupBytes * groups));
    for (int64_t begin = 0; begin < numPanels; begin += step)
      parts.push_back({begin, std::min(begin + step, numPanels), 0, groups});
    return parts;
  }
  int64_t step = std::max<int64_t>(1, bytes / groupBytes);
  for (int64_t panel = 0; panel < numPanels; ++panel)
    for (int64_t begin = 0; begin < groups; begin += step)
      parts.push_back(
          {panel, panel + 1, begin, std::min(begin + step, groups)});
  return parts;
}

namespace {

// Converts `n` elements from element `element` of a piece on.
std::optional<BadElement> convertElements(const Matrix &matrix, size_t piece,
                                          int64_t element, Format format,
                                          uint8_t *to, int64_t n) {
  const Matrix::Piece &source = matrix.pieces[piece];
  if (convert(source.format, source.data, format, to, n, element))
    return std::nullopt;
  int64_t bad =
      element + findBad(source.format, source.data, format, n, element);
  return BadElement{piece, bad, valueAt(source.format, source.data, bad)};
}

// 4 x 4 units of four bytes in registers; `from` row pitch in bytes, `to` pitch
// in units. Written with vector extensions: the shuffles become unpack
// instructions.
using Quad [[gnu::vector_size(16)]] = uint32_t;
inline void transpose4x4(const uint8_t *from, int64_t pitch, uint32_t *to,
                         int64_t toPitch) {
  Quad a, b, c, d;
  std::memcpy(&a, from, 16);
  std::memcpy(&b, from + pitch, 16);
  std::memcpy(&c, from + 2 * pitch, 16);
  std::memcpy(&d, from + 3 * pitch, 16);
  Quad ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  Quad ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  Quad cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  Quad cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  Quad rows[4] = {__builtin_shufflevector(ab0, cd0, 0, 1, 4, 5),
                  __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7),
                  __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5),
                  __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i)
    std::memcpy(to + i * toPitch, &rows[i], 16);
}

// to[g][r] = from[r][g] for `rows` x `groups` units of type Unit; `pitch` of
// from in bytes, `toPitch` of to in units.
template <typename Unit>
void transpose(const uint8_t *from, int64_t pitch, int64_t rows, int64_t groups,
               uint8_t *to, int64_t toPitch) {
  Unit *out = reinterpret_cast<Unit *>(to);
  int64_t group = 0;
  if constexpr (sizeof(Unit) == 4)
    if (rows % 4 == 0)
      for (; group + 4 <= groups; group += 4)
        for (int64_t row = 0; row < rows; row += 4)
          transpose4x4(from + row * pitch + group * 4, pitch,
                       out + group * toPitch + row, toPitch);
  for (; group < groups; ++group)
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(&out[group * toPitch + row],
                  from + row * pitch + group * sizeof(Unit), sizeof(Unit));
}

void transposeUnits(int64_t unit, const uint8_t *from, int64_t pitch,
                    int64_t rows, int64_t groups, uint8_t *to,
                    int64_t toPitch) {
  switch (unit) {
  case 2:
    return transpose<uint16_t>(from, pitch, rows, groups, to, toPitch);
  case 4:
    return transpose<uint32_t>(from, pitch, rows, groups, to, toPitch);
  case 8:
    return transpose<uint64_t>(from, pitch, rows, groups, to, toPitch);
  }
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(to + (group * toPitch + row) * unit,
                  from + row * pitch + group * unit, unit);
}

// The stored form is the row-major matrix: convert runs of whole pieces.
std::optional<BadElement> packRows(const Matrix &matrix, Format format,
                                   int64_t begin, int64_t end, uint8_t *to) {
  auto [piece, row] = locate(matrix, begin / matrix.columns);
  int64_t element = row * matrix.columns + begin % matrix.columns;
  for (int64_t left = end - begin; left > 0; ++piece, element = 0) {
    int64_t n =
        std::min(left, matrix.pieces[piece].rows * matrix.columns - element);
    if (auto bad = convertElements(matrix, piece, element, format, to, n))
      return bad;
    to += n * formatBytes(format);
    left -= n;
  }
  return std::nullopt;
}

// Columns and rows of the block that is converted, then transposed: it stays in
// the second cache level at any format.
constexpr int64_t blockColumns = 512, blockRows = 128;

std::optional<BadElement> packPanel(const Matrix &matrix, const Panels &panels,
                                    Format format, int64_t panel,
                                    int64_t beginGroup, int64_t endGroup,
                                    uint8_t *scratch, uint8_t *to) {
  int64_t bytes = formatBytes(format), unit = panels.depth * bytes;
  int64_t half = panels.rows / 2, halfMatrix = matrix.rows() / 2;
  int64_t step = std::max<int64_t>(1, blockColumns / panels.depth);
  // The extra line keeps the rows of a block out of one cache set.
  int64_t pitch = step * unit + 64;
  for (int64_t row0 = 0; row0 < panels.rows; row0 += blockRows) {
    int64_t rows = std::min(blockRows, panels.rows - row0);
    RowPosition positions[blockRows];
    for (int64_t i = 0; i < rows; ++i) {
      int64_t r = row0 + i, row = panel * panels.rows + r;
      if (panels.halves)
        row =
            r < half ? panel * half + r : halfMatrix + panel * half + r - half;
      positions[i] = locate(matrix, row);
    }
    for (int64_t group = beginGroup; group < endGroup; group += step) {
      int64_t groups = std::min(step, endGroup - group);
      for (int64_t i = 0; i < rows; ++i) {
        int64_t element =
            positions[i].row * matrix.columns + group * panels.depth;
        if (auto bad =
                convertElements(matrix, positions[i].piece, element, format,
                                scratch + i * pitch, groups * panels.depth))
          return bad;
      }
      transposeUnits(unit, scratch, pitch, rows, groups,
                     to + ((group - beginGroup) * panels.rows + row0) * unit,
                     panels.rows);
    }
  }
  return std::nullopt;
}

} // namespace

std::optional<BadElement> packPart(const Matrix &matrix, const Panels &panels,
                                   Format format, const Part &part,
                                   uint8_t *to) {
  if (panels.rows == 1) {
    int64_t begin =
        part.beginPanel * matrix.columns + part.beginGroup * panels.depth;
    return packRows(matrix, format, begin, begin + part.elements(panels), to);
  }
  int64_t unit = panels.depth * formatBytes(format);
  int64_t step = std::max<int64_t>(1, blockColumns / panels.depth);
  std::vector<uint8_t> scratch(std::min(blockRows, panels.rows) *
                               (step * unit + 64));
  int64_t panelBytes = (part.endGroup - part.beginGroup) * panels.rows * unit;
  for (int64_t panel = part.beginPanel; panel < part.endPanel; ++panel) {
    if (auto bad = packPanel(matrix, panels, format, panel, part.beginGroup,
                             part.endGroup, scratch.data(), to))
      return bad;
    to += panelBytes;
  }
  return std::nullopt;
}

std::optional<BadElement> readRow(const Matrix &matrix, int64_t row,
                                  float *values) {
  auto [piece, inPiece] = locate(matrix, row);
  auto bad =
      convertElements(matrix, piece, inPiece * matrix.columns, Format::F32,
                      reinterpret_cast<uint8_t *>(values), matrix.columns);
  if (bad)
    return bad;
  float factor = matrix.rowFactors ? matrix.rowFactors[row] : 1;
  if (matrix.rowFactors || matrix.columnFactors)
    for (int64_t i = 0; i < matrix.columns; ++i) {
      values[i] *=
          matrix.columnFactors ? factor * matrix.columnFactors[i] : factor;
      if (!std::isfinite(values[i]))
        return badElementOf(matrix, row, i, values[i]);
    }
  return std::nullopt;
}

BadElement badElementOf(const Matrix &matrix, int64_t row, int64_t column,
                        float value) {
  auto [piece, inPiece] = locate(matrix, row);
  return {piece, inPiece * matrix.columns + column, value};
}

} // namespace lfmc::pack
