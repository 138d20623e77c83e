// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Dequantize.h"

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

std::optional<BadElement> quantizeRow(const Matrix &matrix, int64_t row,
                                      const Blocks &blocks, int8_t *codes,
                                      BlockScale *scales) {
  auto [index, inPiece] = locate(matrix, row);
  const Matrix::Piece &piece = matrix.pieces[index];
  const int64_t columns = matrix.columns, n = blocks.block;
  std::vector<float> values; // read when a block has to be rounded
  for (int64_t c = 0; c < columns; c += n, codes += n, ++scales) {
    if (keepCodes(piece.format, piece.data, (inPiece * columns + c) / n, blocks,
                  codes, *scales))
      continue;
    if (values.empty()) {
      values.resize(columns);
      if (auto bad = readRow(matrix, row, values.data()))
        return bad;
    }
    if (quantizeBlock(values.data() + c, blocks, codes, *scales))
      continue;
    auto worst = std::max_element(
        values.begin() + c, values.begin() + c + n,
        [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    return badElementOf(matrix, row, worst - values.begin(), *worst);
  }
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

/// Codes and scales of one panel, row-major, before they are laid out.
struct PanelCodes {
  std::vector<int8_t> codes;      // [rows][columns]
  std::vector<BlockScale> scales; // [rows][columns / block]
};

class Layout {
public:
  Layout(const PanelCodes &panel, const Panels &panels, const Blocks &blocks,
         int64_t columns)
      : panel(panel), rows(panels.rows), depth(panels.depth), blocks(blocks),
        columns(columns) {}

  uint8_t *write(uint8_t *to) {
    const int64_t perRow = columns / blocks.block;
    for (int64_t b = 0; b < perRow; ++b) {
      to = factors(to, b, &BlockScale::scale);
      if (blocks.minimum)
        to = factors(to, b, &BlockScale::minimum);
      if (blocks.bits == 8)
        to = codes(to, b, 8, 0);
      else
        to = codes(to, b, 4, 0);
      if (blocks.bits == 6)
        to = codes(to, b, 2, 4);
    }
    return to;
  }

private:
  uint8_t *factors(uint8_t *to, int64_t block, uint16_t BlockScale::*which) {
    for (int64_t r = 0; r < rows; ++r, to += 2)
      std::memcpy(
          to, &(panel.scales[r * (columns / blocks.block) + block].*which), 2);
    return to;
  }

  /// Bits [shift, shift + bits) of the codes, 8 / bits of them a byte.
  uint8_t *codes(uint8_t *to, int64_t block, int bits, int shift) {
    const int64_t perByte = 8 / bits, first = block * blocks.block;
    const int offset = bits == 8 || blocks.minimum ? 0 : 1 << (blocks.bits - 1);
    for (int64_t c = first; c < first + blocks.block; c += perByte * depth)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < depth; ++j) {
          const int8_t *at = panel.codes.data() + r * columns + c + j;
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
  const int64_t rows, depth;
  const Blocks &blocks;
  const int64_t columns;
};

} // namespace

std::optional<BadElement> packQuantized(const Matrix &matrix,
                                        const Panels &panels,
                                        const Blocks &blocks, const Part &part,
                                        uint8_t *to) {
  const int64_t columns = matrix.columns, rows = panels.rows;
  const int64_t half = rows / 2, halfMatrix = matrix.rows() / 2;
  PanelCodes codes;
  codes.codes.resize(rows * columns);
  codes.scales.resize(rows * (columns / blocks.block));
  for (int64_t panel = part.beginPanel; panel < part.endPanel; ++panel) {
    for (int64_t r = 0; r < rows; ++r) {
      int64_t row = panel * rows + r;
      if (panels.halves)
        row =
            r < half ? panel * half + r : halfMatrix + panel * half + r - half;
      if (auto bad =
              quantizeRow(matrix, row, blocks, codes.codes.data() + r * columns,
                          codes.scales.data() + r * (columns / blocks.block)))
        return bad;
    }
    to = Layout(codes, panels, blocks, columns).write(to);
  }
  return std::nullopt;
}

} // namespace lfmc::pack
