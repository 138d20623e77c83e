// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Search.h"

#include "codegen/quantize/Factor.h"
#include "codegen/quantize/Lanes.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lfmc {

using namespace pack;

float InputMoments::diagonal(int64_t column) const {
  for (const Group &group : groups)
    if (column < group.first + group.size) {
      if (!group.matrix)
        return 1;
      float divisor = divisors.empty() ? 1 : divisors[column];
      return group.matrix[(column - group.first) * (group.size + 1)] /
             (divisor * divisor);
    }
  return 1;
}

namespace {

// Of the mean of the diagonal: what keeps the inverse of few samples tame.
constexpr double damping = 0.01;

/// A group of columns that errors do not leave.
struct Group {
  int64_t first, size;
  std::vector<float> factor; // of inverseFactor; empty: no feedback
};

/// The scales and minima to try for a block.
class Candidates {
public:
  Candidates(const Blocks &blocks, const LaneBlock &block) : blocks(blocks) {
    for (int64_t l = 0; l < lanes; ++l) {
      low[l] = high[l] = block.values[0][l];
      for (int64_t j = 1; j < block.n; ++j) {
        low[l] = std::min(low[l], block.values[j][l]);
        high[l] = std::max(high[l], block.values[j][l]);
      }
    }
  }

  int count() const {
    return blocks.minimum     ? 36
           : blocks.bits == 8 ? 5
           : blocks.bits == 6 ? 18
                              : 24;
  }

  /// Factors in f16, which is what counts: `scales` and `grid` agree.
  void get(int index, BlockScale *scales, LaneGrid &grid) const {
    float wanted[2][lanes] = {};
    const float middle = float(1 << (blocks.bits - 1));
    grid.low = blocks.minimum ? 0 : blocks.bits == 8 ? -127 : -middle;
    grid.high = blocks.minimum ? 15 : middle - 1;
    for (int64_t l = 0; l < lanes; ++l) {
      float size = std::max(std::fabs(low[l]), std::fabs(high[l]));
      if (blocks.minimum) {
        // Either end moves inwards by up to a quarter of the range.
        float range = high[l] - low[l];
        float from = low[l] + 0.05f * float(index % 6) * range;
        float to = high[l] - 0.05f * float(index / 6) * range;
        wanted[0][l] = (to - from) / 15;
        wanted[1][l] = from;
      } else if (blocks.bits == 8) {
        wanted[0][l] = size / 127 * (1 - 0.01f * float(index));
      } else {
        // The end with one code more is that of the largest value, or not.
        int half = count() / 2;
        float step = blocks.bits == 6 ? 0.03f : 0.05f;
        float largest = -low[l] > high[l] ? low[l] : high[l];
        float most = blocks.bits == 6 ? 1.06f : 1.15f;
        float shrink = most - step * float(index % half);
        wanted[0][l] = (index < half ? -largest : largest) / middle * shrink;
      }
    }
    uint16_t halves[2][lanes];
    convert(Format::F32, reinterpret_cast<uint8_t *>(wanted), Format::F16,
            reinterpret_cast<uint8_t *>(halves), 2 * lanes);
    float rounded[2][lanes];
    convert(Format::F16, reinterpret_cast<uint8_t *>(halves), Format::F32,
            reinterpret_cast<uint8_t *>(rounded), 2 * lanes);
    for (int64_t l = 0; l < lanes; ++l) {
      scales[l] = {halves[0][l], halves[1][l]};
      grid.scale[l] = rounded[0][l];
      grid.minimum[l] = rounded[1][l];
      grid.inverse[l] = rounded[0][l] == 0 ? 0 : 1 / rounded[0][l];
    }
  }

private:
  const Blocks &blocks;
  float low[lanes], high[lanes];
};

class SearchQuantizer : public RowQuantizer {
public:
  int64_t quantize(float *values, int64_t rows, int64_t columns,
                   const Blocks &blocks, int8_t *codes,
                   BlockScale *scales) const override;

  /// Empty: one group of all columns.
  std::vector<Group> groups;
  /// Root of the weight of a column's squared error; empty: 1.
  std::vector<float> weights;

private:
  /// Rows by lane: [columns][lanes], scales [blocks][lanes].
  struct Scratch {
    Scratch(int64_t columns, const Blocks &blocks)
        : work(columns * lanes), codes(columns * lanes),
          scales(columns / blocks.block * lanes) {}
    std::vector<float> work;
    std::vector<int8_t> codes;
    std::vector<BlockScale> scales;
  };

  bool quantizeRows(const float *values, int64_t rows, int64_t columns,
                    const Blocks &blocks, int8_t *codes, BlockScale *scales,
                    Scratch &scratch) const;
  bool quantizeLanes(int64_t columns, const Blocks &blocks,
                     Scratch &scratch) const;
  bool quantizeBlock(LaneBlock &block, const Blocks &blocks, float *errors,
                     int8_t *codes, BlockScale *scales) const;
};

// Returns whether every lane has factors that f16 holds.
bool SearchQuantizer::quantizeBlock(LaneBlock &block, const Blocks &blocks,
                                    float *errors, int8_t *codes,
                                    BlockScale *scales) const {
  Candidates candidates(blocks, block);
  float best[lanes];
  std::fill_n(best, lanes, std::numeric_limits<float>::infinity());
  LaneGrid grid, chosen = {};
  for (int i = 0; i < candidates.count(); ++i) {
    BlockScale tried[lanes];
    float loss[lanes];
    candidates.get(i, tried, grid);
    roundLanes(block, grid, loss, nullptr, nullptr);
    for (int64_t l = 0; l < lanes; ++l)
      if (std::isfinite(grid.scale[l]) && std::isfinite(grid.minimum[l]) &&
          loss[l] < best[l]) {
        best[l] = loss[l];
        scales[l] = tried[l];
        chosen.scale[l] = grid.scale[l];
        chosen.inverse[l] = grid.inverse[l];
        chosen.minimum[l] = grid.minimum[l];
      }
  }
  chosen.low = grid.low;
  chosen.high = grid.high;
  float loss[lanes], rounded[maxBlock * lanes];
  roundLanes(block, chosen, loss, rounded, errors);
  for (int64_t i = 0; i < block.n * lanes; ++i)
    codes[i] = int8_t(rounded[i]);
  return std::all_of(best, best + lanes,
                     [](float x) { return std::isfinite(x); });
}

bool SearchQuantizer::quantizeLanes(int64_t columns, const Blocks &blocks,
                                    Scratch &scratch) const {
  const std::vector<float> ones(weights.empty() ? columns : 0, 1.0f);
  const float *weight = weights.empty() ? ones.data() : weights.data();
  const Group whole{0, columns, {}};
  size_t next = 0;
  const Group *group = groups.empty() ? &whole : &groups[0];
  std::vector<float> errors(blocks.block * lanes);
  std::vector<float> inside(maxBlock * maxBlock);
  LaneBlock block;
  block.n = blocks.block;
  for (int64_t c = 0; c < columns; c += blocks.block) {
    if (c == group->first + group->size)
      group = &groups[++next];
    int64_t at = c - group->first, size = group->size;
    block.weight = weight + c;
    block.factor = nullptr;
    if (!group->factor.empty()) {
      block.factor = inside.data();
      for (int64_t j = 0; j < block.n; ++j)
        for (int64_t k = j + 1; k < block.n; ++k)
          inside[j * maxBlock + k] = group->factor[(at + k) * size + at + j];
    }
    std::copy_n(scratch.work.data() + c * lanes, block.n * lanes,
                &block.values[0][0]);
    if (!quantizeBlock(block, blocks, errors.data(),
                       scratch.codes.data() + c * lanes,
                       scratch.scales.data() + c / block.n * lanes))
      return false;
    if (block.factor)
      feedLanes(scratch.work.data() + (c + block.n) * lanes,
                size - at - block.n, errors.data(), block.n,
                group->factor.data() + (at + block.n) * size + at, size);
  }
  return -1;
}

// Up to `lanes` rows.
bool SearchQuantizer::quantizeRows(const float *values, int64_t rows,
                                   int64_t columns, const Blocks &blocks,
                                   int8_t *codes, BlockScale *scales,
                                   Scratch &scratch) const {
  const int64_t perRow = columns / blocks.block;
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t l = 0; l < lanes; ++l)
      scratch.work[c * lanes + l] = l < rows ? values[l * columns + c] : 0;
  if (!quantizeLanes(columns, blocks, scratch))
    return false;
  for (int64_t l = 0; l < rows; ++l) {
    for (int64_t c = 0; c < columns; ++c)
      codes[l * columns + c] = scratch.codes[c * lanes + l];
    for (int64_t b = 0; b < perRow; ++b)
      scales[l * perRow + b] = scratch.scales[b * lanes + l];
  }
  return true;
}

int64_t SearchQuantizer::quantize(float *values, int64_t rows, int64_t columns,
                                  const Blocks &blocks, int8_t *codes,
                                  BlockScale *scales) const {
  const int64_t perRow = columns / blocks.block;
  Scratch scratch(columns, blocks);
  auto some = [&](int64_t row, int64_t n) {
    return quantizeRows(values + row * columns, n, columns, blocks,
                        codes + row * columns, scales + row * perRow, scratch);
  };
  for (int64_t begin = 0; begin < rows; begin += lanes) {
    int64_t end = std::min(begin + lanes, rows);
    if (some(begin, end - begin))
      continue;
    // One of them has a block that f16 cannot scale, or its feedback has.
    for (int64_t row = begin; row < end; ++row) {
      if (some(row, 1))
        continue;
      int64_t bad = NearestQuantizer().quantize(
          values + row * columns, 1, columns, blocks, codes + row * columns,
          scales + row * perRow);
      if (bad >= 0)
        return row * columns + bad;
    }
  }
  return -1;
}

// Roots of the diagonal, with the same damping as the feedback's.
std::vector<float> searchWeights(const InputMoments &moments) {
  int64_t columns = moments.columns();
  double mean = 0;
  for (int64_t c = 0; c < columns; ++c)
    mean += moments.diagonal(c) / double(columns);
  std::vector<float> weights(columns, 1.0f);
  if (mean > 0 && std::isfinite(mean))
    for (int64_t c = 0; c < columns; ++c)
      weights[c] = float(std::sqrt(moments.diagonal(c) / mean + damping));
  return weights;
}

} // namespace

std::unique_ptr<RowQuantizer> makeSearchQuantizer(const InputMoments *moments) {
  auto quantizer = std::make_unique<SearchQuantizer>();
  if (moments)
    quantizer->weights = searchWeights(*moments);
  return quantizer;
}

std::unique_ptr<RowQuantizer>
makeFeedbackQuantizer(const InputMoments &moments) {
  auto quantizer = std::make_unique<SearchQuantizer>();
  quantizer->weights = searchWeights(moments);
  std::vector<float> matrix;
  for (const InputMoments::Group &from : moments.groups) {
    Group &group = quantizer->groups.emplace_back();
    group.first = from.first;
    group.size = from.size;
    if (!from.matrix)
      continue;
    const float *h = from.matrix;
    if (!moments.divisors.empty()) {
      const float *divisor = moments.divisors.data() + from.first;
      matrix.assign(h, h + from.size * from.size);
      for (int64_t i = 0; i < from.size; ++i)
        for (int64_t j = 0; j < from.size; ++j)
          matrix[i * from.size + j] /= divisor[i] * divisor[j];
      h = matrix.data();
    }
    group.factor = inverseFactor(h, from.size, damping);
    if (!group.factor.empty())
      for (int64_t i = 0; i < group.size; ++i)
        quantizer->weights[group.first + i] =
            1 / group.factor[i * (group.size + 1)];
  }
  return quantizer;
}

} // namespace lfmc
