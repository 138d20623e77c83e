// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/TestData.h"

#include "codegen/pack/Plan.h"
#include "codegen/tune/JobFile.h"
#include "codegen/tune/QuadRows.h"
#include "frontend/Random.h"

#include <cmath>
#include <cstring>
#include <numeric>

namespace lfmc::tune {
namespace {

/// Tokens (or quads of them) after which x repeats: no tile is a multiple of
/// it.
constexpr int64_t distinctRows = 13;

class DataBuilder {
public:
  DataBuilder(const LinearShape &linear, int64_t tokens, RowForm form,
              const Kernel (&kernels)[2]);
  std::vector<uint8_t> build(const MeasureOptions &options);

private:
  float uniform() { return float(int64_t(random() >> 40)) / (1 << 23) - 1; }
  void makeRows();
  void makeUnit(int index);
  void addExpected(const std::vector<float> &values, int index);
  std::vector<uint8_t> packed(int index, const pack::Panels &panels) const;

  const LinearShape &linear;
  const int64_t tokens;
  const RowForm form;
  const int64_t rows; ///< distinct tokens of x
  const Kernel (&kernels)[2];
  Xoshiro256 random{42};
  pack::Blocks blocks;
  pack::Format format = pack::Format::F32;
  int64_t unit = 0, columns = 0; ///< rows of a unit, columns that they give
  std::vector<uint8_t> x;        ///< as the kernel reads it
  std::vector<float> xValues;    ///< [rows][k]
  std::vector<float> units[2];   ///< [unit][k]
  std::vector<float> bias[2];    ///< [unit]
  std::vector<float> expected;   ///< [2][rows][columns]
  double largest = 0;            ///< sum of the sizes of an output's terms
};

DataBuilder::DataBuilder(const LinearShape &linear, int64_t tokens,
                         RowForm form, const Kernel (&kernels)[2])
    : linear(linear), tokens(tokens), form(form),
      rows(std::min(tokens, distinctRows * form.together)), kernels(kernels) {
  mlir::MLIRContext *context = kernels[0].chunks.getContext();
  blocks = pack::blocksOf(
      lfm2::StoredAttr::get(context, linear.kind, linear.block, {}));
  if (linear.kind == lfm2::StoredKind::BF16)
    format = pack::Format::BF16;
  if (linear.kind == lfm2::StoredKind::F16)
    format = pack::Format::F16;
  unit = 128;
  for (const Kernel &kernel : kernels)
    unit = std::max(unit, kernel.layout.getRows());
  if (linear.n % unit)
    unit = linear.n;
  columns = linear.swiglu ? unit / 2 : unit;
}

void DataBuilder::makeRows() {
  const int64_t k = linear.k;
  for (int64_t r = 0; r < rows; ++r) {
    if (!linear.block) {
      for (int64_t i = 0; i < k; ++i)
        xValues.push_back(uniform());
      continue;
    }
    std::vector<int8_t> codes(k);
    // Room for one of 32 columns, however many share them.
    std::vector<float> scales(k / 32);
    std::vector<int32_t> sums(k / 32);
    for (float &scale : scales)
      scale = (1.5f + uniform()) / 254;
    for (int64_t i = 0; i < k; ++i) {
      codes[i] = int8_t(int(random() % 255) - 127);
      sums[i / form.shared] += codes[i];
      xValues.push_back(codes[i] * scales[i / form.shared]);
    }
    auto add = [&](const void *data, size_t bytes) {
      auto *begin = static_cast<const uint8_t *>(data);
      x.insert(x.end(), begin, begin + bytes);
    };
    add(codes.data(), k);
    add(scales.data(), scales.size() * 4);
    add(sums.data(), sums.size() * 4);
  }
  if (!linear.block) {
    x.resize(xValues.size() * 4);
    std::memcpy(x.data(), xValues.data(), x.size());
  }
  if (form.together > 1)
    x = toQuads(x, k, form.shared);
}

static float siluOf(double x) { return float(x / (1 + std::exp(-x))); }

void DataBuilder::addExpected(const std::vector<float> &values, int index) {
  const int64_t k = linear.k;
  auto dot = [&](int64_t token, int64_t row) {
    double sum = linear.bias ? bias[index][row] : 0, size = 0;
    const float *a = &xValues[token * k], *b = &values[row * k];
    for (int64_t i = 0; i < k; ++i) {
      const double term = double(a[i]) * b[i];
      sum += term;
      size += std::abs(term);
    }
    largest = std::max(largest, size);
    return sum;
  };
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t c = 0; c < columns; ++c)
      expected.push_back(linear.swiglu
                             ? float(siluOf(dot(t, c)) * dot(t, columns + c))
                             : float(dot(t, c)));
}

/// A unit of rows (with swiglu: gates, then ups), and what it gives.
void DataBuilder::makeUnit(int index) {
  const int64_t k = linear.k;
  std::vector<float> &weights = units[index];
  weights.resize(unit * k);
  // Small enough that silu does not saturate everywhere.
  const float scale = 2 / std::sqrt(float(k));
  for (float &value : weights)
    value = uniform() * scale;
  for (int64_t i = 0; linear.bias && i < unit; ++i)
    bias[index].push_back(uniform());
  std::vector<float> values = weights;
  if (linear.block) {
    pack::roundRows(pack::NearestQuantizer(), values.data(), unit, k, blocks);
  } else {
    std::vector<uint8_t> stored(values.size() * 4);
    auto *bytes = reinterpret_cast<uint8_t *>(values.data());
    const auto count = int64_t(values.size());
    pack::convert(pack::Format::F32, bytes, format, stored.data(), count);
    pack::convert(format, stored.data(), pack::Format::F32, bytes, count);
  }
  addExpected(values, index);
}

std::vector<uint8_t> DataBuilder::packed(int index,
                                         const pack::Panels &panels) const {
  pack::Matrix matrix;
  matrix.columns = linear.k;
  matrix.pieces.push_back(
      {reinterpret_cast<const uint8_t *>(units[index].data()), unit,
       pack::Format::F32});
  pack::Part whole{0, unit / panels.rows, 0, linear.k / panels.depth};
  std::vector<uint8_t> bytes;
  if (linear.block) {
    bytes.resize(unit * blocks.bytes(linear.k));
    pack::packQuantized(matrix, panels, blocks, pack::NearestQuantizer(), whole,
                        bytes.data());
  } else {
    bytes.resize(unit * linear.k * pack::formatBytes(format));
    pack::packPart(matrix, panels, format, whole, bytes.data());
  }
  return bytes;
}

std::vector<uint8_t> DataBuilder::build(const MeasureOptions &options) {
  makeRows();
  makeUnit(0);
  makeUnit(1);
  // f32 sums of k terms; with swiglu a product of two of them. Rewritten
  // weights are off by up to 1/30 of a step of 4 bits, at random.
  const double error =
      form.shared > 32 ? 0.03 / std::sqrt(double(linear.k)) : 4e-6;
  JobFile file(options, tokens, largest * error * (linear.swiglu ? 4 : 1));
  const uint64_t xAt = file.append(x), yAt = file.append(expected);
  std::vector<float> biases = bias[0];
  biases.insert(biases.end(), bias[1].begin(), bias[1].end());
  const uint64_t biasAt = file.append(biases);
  const uint64_t count = linear.n / unit;
  for (int i = 0; i < 2; ++i) {
    const lfm2::PanelsAttr layout = kernels[i].layout;
    const kernel::ChunksAttr chunks = kernels[i].chunks;
    lfm_job_kernel &kernel = file.job.kernel[i];
    kernel.chunks = chunks.getFixed();
    if (chunks.getTokens())
      kernel.chunks *= (tokens + chunks.getTokens() - 1) / chunks.getTokens();
    const int64_t groups = rows / form.together;
    file.add(i, {LFM_OPERAND_ROWS, uint32_t(groups), uint64_t(form.together),
                 x.size() / groups, 0, xAt});
    if (i == 1 && layout == kernels[0].layout) {
      file.add(i, file.job.kernel[0].operand[1]);
    } else {
      const pack::Panels panels{layout.getRows(), layout.getDepth(),
                                layout.getHalves(), layout.getRaised()};
      std::vector<uint8_t> a = packed(0, panels), b = packed(1, panels);
      const uint64_t bytes = a.size();
      a.insert(a.end(), b.begin(), b.end());
      file.add(i, {LFM_OPERAND_UNITS, 0, count, bytes, 0, file.append(a)});
    }
    if (linear.bias)
      file.add(i, {LFM_OPERAND_GRID, 1, count, 0, uint64_t(unit), biasAt});
    file.add(i, {LFM_OPERAND_OUTPUT, uint32_t(rows), count, 0,
                 uint64_t(columns), yAt});
  }
  return file.take();
}

} // namespace

std::vector<uint8_t> measuringJob(const LinearShape &linear,
                                  const Kernel (&kernels)[2], int64_t tokens,
                                  RowForm form, const MeasureOptions &options) {
  return DataBuilder(linear, tokens, form, kernels).build(options);
}

} // namespace lfmc::tune
