// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Dequantize.h"
#include "codegen/pack/RowQuantizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lfmc::pack {

namespace {

bool toHalf(float value, uint16_t &half) {
  return convert(Format::F32, reinterpret_cast<const uint8_t *>(&value),
                 Format::F16, reinterpret_cast<uint8_t *>(&half), 1);
}

float fromHalf(uint16_t half) {
  return valueAt(Format::F16, reinterpret_cast<const uint8_t *>(&half), 0);
}

/// The first of the values of the largest size, sign included.
float largestOf(const float *values, int64_t n) {
  float size = 0;
  for (int64_t i = 0; i < n; ++i)
    size = std::max(size, std::fabs(values[i]));
  return size == 0 ? 0 : *std::find_if(values, values + n, [&](float v) {
    return std::fabs(v) == size;
  });
}

/// trunc(value * inverse + offset + 0.5) in 0 .. largest, rounded once.
int nearestCode(float value, float inverse, double offset, int largest) {
  double code = std::trunc(double(value) * double(inverse) + offset + 0.5);
  return int(std::clamp(code, 0.0, double(largest)));
}

} // namespace

bool quantizeBlock(const float *values, const Blocks &blocks, int8_t *codes,
                   BlockScale &scale) {
  const int64_t n = blocks.block;
  if (blocks.minimum) {
    auto [low, high] = std::minmax_element(values, values + n);
    float d = (*high - *low) / 15.0f, inverse = d == 0 ? 0 : 1.0f / d;
    for (int64_t i = 0; i < n; ++i)
      codes[i] = int8_t(nearestCode(values[i] - *low, inverse, 0, 15));
    return toHalf(d, scale.scale) && toHalf(*low, scale.minimum);
  }
  const int middle = 1 << (blocks.bits - 1);
  const float largest = largestOf(values, n);
  const float d =
      blocks.bits == 8 ? std::fabs(largest) / 127.0f : largest / -float(middle);
  const float inverse = d == 0 ? 0 : 1.0f / d;
  if (blocks.bits == 8)
    for (int64_t i = 0; i < n; ++i) {
      float code = std::round(values[i] * inverse);
      codes[i] = int8_t(std::clamp(code, -127.0f, 127.0f));
    }
  else
    for (int64_t i = 0; i < n; ++i)
      codes[i] = int8_t(
          nearestCode(values[i], inverse, middle, 2 * middle - 1) - middle);
  return toHalf(d, scale.scale);
}

float blockValue(const BlockScale &scale, int8_t code) {
  return fromHalf(scale.scale) * code + fromHalf(scale.minimum);
}

static void keepRow(const Matrix &matrix, int64_t row, const Blocks &blocks,
                    int8_t *codes, BlockScale *scales) {
  auto [index, inPiece] = locate(matrix, row);
  const Matrix::Piece &piece = matrix.pieces[index];
  if (!holdsCodes(piece.format, blocks) || matrix.rowFactors ||
      matrix.columnFactors)
    return;
  const int64_t n = blocks.block;
  for (int64_t c = 0; c < matrix.columns; c += n)
    keepCodes(piece.format, piece.data, (inPiece * matrix.columns + c) / n,
              blocks, codes + c, scales[c / n]);
}

std::optional<BadElement> quantizeRows(const Matrix &matrix,
                                       const std::vector<int64_t> &rows,
                                       const Blocks &blocks,
                                       const RowQuantizer &quantizer,
                                       int8_t *codes, BlockScale *scales) {
  const int64_t columns = matrix.columns, perRow = columns / blocks.block;
  std::vector<float> values(rows.size() * columns);
  for (size_t i = 0; i < rows.size(); ++i)
    if (auto bad = readRow(matrix, rows[i], values.data() + i * columns))
      return bad;
  int64_t bad = quantizeRows(quantizer, rows, values.data(), columns, blocks,
                             codes, scales);
  if (bad >= 0)
    return badElementOf(matrix, rows[bad / columns], bad % columns,
                        values[bad]);
  for (size_t i = 0; i < rows.size(); ++i)
    keepRow(matrix, rows[i], blocks, codes + i * columns, scales + i * perRow);
  return std::nullopt;
}

std::vector<Part> partitionQuantized(const Panels &panels, int64_t rows,
                                     int64_t columns, const Blocks &blocks,
                                     int64_t bytes) {
  int64_t count = rows / panels.rows;
  int64_t step =
      std::max<int64_t>(1, bytes / (panels.rows * blocks.bytes(columns)));
  std::vector<Part> parts;
  for (int64_t panel = 0; panel < count; panel += step)
    parts.push_back(
        {panel, std::min(panel + step, count), 0, columns / panels.depth});
  return parts;
}

namespace {

/// Codes and scales of panels, row-major, before they are laid out.
struct PanelCodes {
  std::vector<int8_t> codes;      // [rows][columns]
  std::vector<BlockScale> scales; // [rows][columns / block]
};

constexpr uint16_t signOfHalf = 0x8000;

class Layout {
public:
  /// The panel of the rows from `first` on.
  Layout(const PanelCodes &panel, int64_t first, const Panels &panels,
         const Blocks &blocks, int64_t columns)
      : panel(panel), first(first), rows(panels.rows), depth(panels.depth),
        raised(panels.raised), blocks(blocks), columns(columns) {}

  uint8_t *write(uint8_t *to) {
    const int64_t perRow = columns / blocks.block;
    for (int64_t b = 0; b < perRow; ++b) {
      to = factors(to, b, &BlockScale::scale);
      if (blocks.minimum)
        to = factors(to, b, &BlockScale::minimum);
      if (raised)
        to = raisedCodes(to, b);
      else if (blocks.bits == 8)
        to = codes(to, b, 8, 0);
      else
        to = codes(to, b, 4, 0);
      if (blocks.bits == 6)
        to = codes(to, b, 2, 4);
    }
    return to;
  }

private:
  const BlockScale &scale(int64_t row, int64_t block) const {
    return panel.scales[(first + row) * (columns / blocks.block) + block];
  }

  uint8_t *factors(uint8_t *to, int64_t block, uint16_t BlockScale::*which) {
    for (int64_t r = 0; r < rows; ++r, to += 2) {
      uint16_t factor = scale(r, block).*which;
      if (raised)
        factor &= ~signOfHalf;
      std::memcpy(to, &factor, 2);
    }
    return to;
  }

  /// Codes of 8 bits plus 128; the scale's sign is theirs.
  uint8_t *raisedCodes(uint8_t *to, int64_t block) {
    const int64_t begin = block * blocks.block;
    for (int64_t c = begin; c < begin + blocks.block; c += depth)
      for (int64_t r = 0; r < rows; ++r) {
        const int sign = scale(r, block).scale & signOfHalf ? -1 : 1;
        const int8_t *at = panel.codes.data() + (first + r) * columns + c;
        for (int64_t j = 0; j < depth; ++j)
          *to++ = uint8_t(128 + sign * at[j]);
      }
    return to;
  }

  /// Bits [shift, shift + bits) of the codes, 8 / bits of them a byte.
  uint8_t *codes(uint8_t *to, int64_t block, int bits, int shift) {
    const int64_t perByte = 8 / bits, begin = block * blocks.block;
    const int offset = bits == 8 || blocks.minimum ? 0 : 1 << (blocks.bits - 1);
    for (int64_t c = begin; c < begin + blocks.block; c += perByte * depth)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < depth; ++j) {
          const int8_t *at = panel.codes.data() + (first + r) * columns + c + j;
          unsigned byte = 0;
          for (int64_t i = 0; i < perByte; ++i)
            byte |=
                (unsigned(at[i * depth] + offset) >> shift & ((1u << bits) - 1))
                << (i * bits);
          *to++ = uint8_t(byte);
        }
    return to;
  }

  const PanelCodes &panel;
  const int64_t first, rows, depth;
  const bool raised;
  const Blocks &blocks;
  const int64_t columns;
};

} // namespace

std::optional<BadElement>
packQuantized(const Matrix &matrix, const Panels &panels, const Blocks &blocks,
              const RowQuantizer &quantizer, const Part &part, uint8_t *to) {
  const int64_t columns = matrix.columns, rows = panels.rows;
  const int64_t half = rows / 2, halfMatrix = matrix.rows() / 2;
  auto rowOf = [&](int64_t panel, int64_t r) {
    if (!panels.halves)
      return panel * rows + r;
    return r < half ? panel * half + r : halfMatrix + panel * half + r - half;
  };
  // Quantizers work on several rows at once; panels may be narrow.
  const int64_t step = std::max<int64_t>(1, 64 / rows);
  PanelCodes codes;
  codes.codes.resize(step * rows * columns);
  codes.scales.resize(codes.codes.size() / blocks.block);
  for (int64_t panel = part.beginPanel; panel < part.endPanel; panel += step) {
    int64_t count = std::min(step, part.endPanel - panel) * rows;
    std::vector<int64_t> indices(count);
    for (int64_t r = 0; r < count; ++r)
      indices[r] = rowOf(panel + r / rows, r % rows);
    if (auto bad = quantizeRows(matrix, indices, blocks, quantizer,
                                codes.codes.data(), codes.scales.data()))
      return bad;
    for (int64_t first = 0; first < count; first += rows)
      to = Layout(codes, first, panels, blocks, columns).write(to);
  }
  return std::nullopt;
}

} // namespace lfmc::pack
