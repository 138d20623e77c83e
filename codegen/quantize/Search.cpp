// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Search.h"

#include "codegen/quantize/Candidates.h"
#include "codegen/quantize/Factor.h"

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
// Times that codes and scales are looked at again with all others known.
constexpr int sweeps = 2;

/// A group of columns that errors do not leave.
struct Group {
  int64_t first, size;
  // In slabs.
  std::vector<float> factor; // of inverseFactor; empty: no feedback
  std::vector<float> matrix; // what it is the factor of
};

/// Rows under work, by lane.
struct Scratch {
  Scratch(int64_t columns, const Blocks &blocks)
      : blocks(blocks), original(columns * lanes), work(columns * lanes),
        codes(columns * lanes), scales(columns / blocks.block * lanes),
        grids(columns / blocks.block) {}

  const Blocks &blocks;
  std::vector<float> original, work, codes; // [columns][lanes]
  std::vector<BlockScale> scales;           // [blocks][lanes]
  std::vector<LaneGrid> grids;              // [blocks]
};

class SearchQuantizer : public InputQuantizer {
public:
  std::unique_ptr<RowQuantizer>
  scaled(const std::vector<float> &factors) const override;
  int64_t quantize(float *values, int64_t rows, int64_t columns,
                   const Blocks &blocks, int8_t *codes,
                   BlockScale *scales) const override;

  std::vector<Group> groups; // of all columns; empty: one
  /// Root of the weight of a column's squared error; empty: 1.
  std::vector<float> weights;

private:
  bool quantizeRows(const float *values, int64_t rows, int64_t columns,
                    int8_t *codes, BlockScale *scales, Scratch &scratch) const;
  bool quantizeGroup(const Group &group, const float *weight,
                     Scratch &scratch) const;
};

// The best grid so far of each lane of a block.
struct Best {
  LaneGrid grid;
  BlockScale scales[lanes];
  float loss[lanes];

  void tryGrid(const LaneBlock &block, const LaneGrid &next,
               const BlockScale *factors) {
    float found[lanes];
    roundLanes(block, next, found, nullptr, nullptr);
    for (int64_t l = 0; l < lanes; ++l)
      if (std::isfinite(next.scale[l]) && std::isfinite(next.minimum[l]) &&
          found[l] < loss[l]) {
        loss[l] = found[l];
        scales[l] = factors[l];
        grid.scale[l] = next.scale[l];
        grid.inverse[l] = next.inverse[l];
        grid.minimum[l] = next.minimum[l];
      }
  }
};

// Finds the best grid for the block, whose values are set, and rounds it.
// Returns whether every lane has factors that f16 holds.
bool searchBlock(const LaneBlock &block, const Blocks &blocks, Best &best,
                 float *codes, float *errors) {
  Candidates candidates(blocks, block);
  std::fill_n(best.loss, lanes, std::numeric_limits<float>::infinity());
  LaneGrid next;
  BlockScale factors[lanes];
  for (int i = 0; i < candidates.count(); ++i) {
    candidates.get(i, factors, next);
    best.grid.low = next.low;
    best.grid.high = next.high;
    best.tryGrid(block, next, factors);
  }
  if (!std::all_of(best.loss, best.loss + lanes,
                   [](float x) { return std::isfinite(x); }))
    return false;
  if (candidates.step() > 0) {
    const LaneGrid middle = best.grid;
    for (float share : {1 - candidates.step() / 2, 1 + candidates.step() / 2}) {
      float scale[lanes];
      for (int64_t l = 0; l < lanes; ++l)
        scale[l] = middle.scale[l] * share;
      setFactors(scale, middle.minimum, factors, next);
      best.tryGrid(block, next, factors);
    }
  }
  float loss[lanes];
  roundLanes(block, best.grid, loss, codes, errors);
  return true;
}

void valuesOf(const LaneGrid &grid, const float *codes, int64_t n,
              float *values) {
  for (int64_t j = 0; j < n; ++j)
    for (int64_t l = 0; l < lanes; ++l)
      values[j * lanes + l] =
          grid.scale[l] * codes[j * lanes + l] + grid.minimum[l];
}

// Coordinate descent on the error of a whole group, block by block.
void refineGroup(const Group &group, Scratch &scratch) {
  const int64_t n = scratch.blocks.block, size = group.size;
  float *codes = scratch.codes.data() + group.first * lanes;
  std::vector<float> values(size * lanes), difference(size * lanes);
  std::vector<float> gradient(size * lanes), inside(n * n);
  for (int64_t c = 0; c < size; c += n)
    valuesOf(scratch.grids[(group.first + c) / n], codes + c * lanes, n,
             values.data() + c * lanes);
  for (int64_t i = 0; i < size * lanes; ++i)
    difference[i] = scratch.original[group.first * lanes + i] - values[i];
  feedLanes(gradient.data(), size, difference.data(), size, group.matrix.data(),
            size);
  for (int sweep = 0; sweep < sweeps; ++sweep)
    for (int64_t c = 0; c < size; c += n) {
      int64_t index = (group.first + c) / n;
      LaneGrid &grid = scratch.grids[index];
      BlockScale scales[lanes];
      float scale[lanes], *old = values.data() + c * lanes;
      copyFromSlabs(group.matrix.data(), size, c, n, inside.data(), n);
      settleLanes(n, grid, inside.data(), old, gradient.data() + c * lanes,
                  codes + c * lanes, scale);
      LaneGrid next = grid;
      setFactors(scale, grid.minimum, scales, next);
      for (int64_t l = 0; l < lanes; ++l)
        if (std::isfinite(next.scale[l]) && next.scale[l] != 0) {
          grid.scale[l] = next.scale[l];
          grid.inverse[l] = next.inverse[l];
          scratch.scales[index * lanes + l].scale = scales[l].scale;
        }
      float fresh[maxBlock * lanes];
      valuesOf(grid, codes + c * lanes, n, fresh);
      for (int64_t i = 0; i < n * lanes; ++i) {
        difference[i] = old[i] - fresh[i];
        old[i] = fresh[i];
      }
      // Nobody looks at the columns before it again in the last sweep.
      int64_t from = sweep + 1 == sweeps ? c + n : 0;
      feedLanes(gradient.data() + from * lanes, size - from, difference.data(),
                n, group.matrix.data() + slabIndex(size, from, c), size);
    }
}

bool SearchQuantizer::quantizeGroup(const Group &group, const float *weight,
                                    Scratch &scratch) const {
  const int64_t n = scratch.blocks.block, size = group.size;
  std::vector<float> errors(n * lanes), inside;
  LaneBlock block;
  block.n = n;
  block.factor = nullptr;
  for (int64_t c = 0; c < size; c += n) {
    int64_t column = group.first + c;
    if (!group.factor.empty()) {
      inside.resize(maxBlock * maxBlock);
      copyFromSlabs(group.factor.data(), size, c, n, inside.data(), maxBlock);
      block.factor = inside.data();
    }
    block.weight = weight + column;
    float *work = scratch.work.data() + column * lanes;
    std::copy_n(work, n * lanes, &block.values[0][0]);
    Best best;
    if (!searchBlock(block, scratch.blocks, best,
                     scratch.codes.data() + column * lanes, errors.data()))
      return false;
    scratch.grids[column / n] = best.grid;
    std::copy_n(best.scales, lanes, scratch.scales.data() + column / n * lanes);
    if (block.factor)
      feedLanes(work + n * lanes, size - c - n, errors.data(), n,
                group.factor.data() + slabIndex(size, c + n, c), size);
  }
  if (!group.factor.empty())
    refineGroup(group, scratch);
  return true;
}

// Up to `lanes` rows.
bool SearchQuantizer::quantizeRows(const float *values, int64_t rows,
                                   int64_t columns, int8_t *codes,
                                   BlockScale *scales, Scratch &scratch) const {
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t l = 0; l < lanes; ++l)
      scratch.work[c * lanes + l] = l < rows ? values[l * columns + c] : 0;
  scratch.original = scratch.work;
  std::vector<float> ones;
  if (weights.empty())
    ones.assign(columns, 1.0f);
  const float *weight = weights.empty() ? ones.data() : weights.data();
  if (groups.empty()) {
    if (!quantizeGroup({0, columns, {}, {}}, weight, scratch))
      return false;
  } else {
    for (const Group &group : groups)
      if (!quantizeGroup(group, weight, scratch))
        return false;
  }
  const int64_t perRow = columns / scratch.blocks.block;
  for (int64_t l = 0; l < rows; ++l) {
    for (int64_t c = 0; c < columns; ++c)
      codes[l * columns + c] = int8_t(scratch.codes[c * lanes + l]);
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
    return quantizeRows(values + row * columns, n, columns,
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

// With H scaled to S H S its inverse's factor F becomes S⁻¹ F.
std::unique_ptr<RowQuantizer>
SearchQuantizer::scaled(const std::vector<float> &factors) const {
  auto result = std::make_unique<SearchQuantizer>(*this);
  if (weights.empty())
    result->weights.assign(factors.size(), 1.0f);
  for (size_t i = 0; i < factors.size(); ++i)
    result->weights[i] *= factors[i];
  for (Group &group : result->groups)
    for (int64_t i = 0; i < group.size && !group.factor.empty(); ++i) {
      float own = factors[group.first + i];
      for (int64_t j = 0; j < group.size; ++j) {
        int64_t at = slabIndex(group.size, i, j);
        group.factor[at] /= own;
        group.matrix[at] *= own * factors[group.first + j];
      }
    }
  return result;
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

// The group's moments by the divisors, symmetric, with a diagonal that is not
// 0.
std::vector<float> dampedMatrix(const InputMoments::Group &group,
                                const InputMoments &moments) {
  const std::vector<float> &divisors = moments.divisors;
  const int64_t n = group.size;
  std::vector<float> matrix(n * n);
  auto divisor = [&](int64_t i) {
    return divisors.empty() ? 1 : divisors[group.first + i];
  };
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j)
      matrix[i * n + j] = matrix[j * n + i] =
          group.matrix[i * n + j] / (divisor(i) * divisor(j)) *
          (i == j ? 1 : moments.correlation);
    mean += matrix[i * n + i] / double(n);
  }
  for (int64_t i = 0; i < n; ++i)
    matrix[i * n + i] += mean > 0 ? float(damping * mean) : 1;
  return matrix;
}

// Of [size][size], which may be empty.
std::vector<float> inSlabs(const std::vector<float> &matrix, int64_t size) {
  std::vector<float> result(matrix.size());
  for (int64_t at = 0; at < int64_t(matrix.size()); at += slab)
    std::copy_n(&matrix[at], slab,
                &result[slabIndex(size, at / size, at % size)]);
  return result;
}

} // namespace

std::unique_ptr<InputQuantizer>
makeSearchQuantizer(const InputMoments *moments) {
  auto quantizer = std::make_unique<SearchQuantizer>();
  if (moments)
    quantizer->weights = searchWeights(*moments);
  return quantizer;
}

std::unique_ptr<InputQuantizer>
makeFeedbackQuantizer(const InputMoments &moments) {
  auto quantizer = std::make_unique<SearchQuantizer>();
  quantizer->weights = searchWeights(moments);
  for (const InputMoments::Group &from : moments.groups) {
    Group &group = quantizer->groups.emplace_back();
    group.first = from.first;
    group.size = from.size;
    if (!from.matrix)
      continue;
    std::vector<float> matrix = dampedMatrix(from, moments);
    std::vector<float> factor = inverseFactor(matrix.data(), from.size);
    for (int64_t i = 0; i < group.size && !factor.empty(); ++i)
      quantizer->weights[group.first + i] = 1 / factor[i * (group.size + 1)];
    group.matrix = inSlabs(matrix, from.size);
    group.factor = inSlabs(factor, from.size);
  }
  return quantizer;
}

} // namespace lfmc
