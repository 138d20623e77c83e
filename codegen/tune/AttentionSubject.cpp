// SPDX-License-Identifier: Apache-2.0
//
// attention: `tokens` queries behind others, in caches that repeat two blocks
// of positions. A kernel of one token leaves parts (targets/Kernels.h), of
// which maxima, sums and weighted values are compared.
#include "codegen/tune/Subject.h"
#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"
#include "runtime/include/lfm/program.h"

#include <algorithm>
#include <cmath>

namespace lfmc::tune {
namespace {

constexpr int64_t block = 64; ///< positions of a unit of the caches

// A block of head 0 is unitOf(block); of other heads it is that or always the
// other one, for a head's blocks are a power of two (job.h).

/// Of f32 dot products, exponentials and sums of as many terms as positions;
/// of products of halves (codegen/llvm/micro/ArmAttention.cpp).
double errorOf(const AttentionShape &shape, const MeasureOptions &options) {
  if (shape.kind != lfm2::StoredKind::F16)
    return 2e-5;
  return options.cpuFeatures & LFM_CPU_ARM_FHM    ? 1e-3
         : options.cpuFeatures & LFM_CPU_ARM_FP16 ? 1.5e-2
                                                  : 2e-5;
}

/// Two blocks of keys or values.
struct Units {
  std::vector<float> values[2]; ///< [position][dim]
  std::vector<uint8_t> stored;  ///< as the kernel reads them, one by one
};

class Builder {
public:
  Builder(const AttentionShape &shape, int64_t tokens, int64_t position);
  std::vector<uint8_t> build(const Kernel (&kernels)[2],
                             const MeasureOptions &options);

private:
  float uniform() { return tune::uniform(random); }
  Units makeUnits(int64_t lanes);
  std::vector<float> rows() const;
  std::vector<float> parts(const Kernel &kernel) const;
  double weigh(int kind, int64_t token, int64_t head, int64_t begin,
               int64_t end, double &high, double *sums) const;

  const AttentionShape &shape;
  const int64_t tokens, position, group, dim, distinct;
  Xoshiro256 random{43};
  Units keys, values;
  std::vector<float> queries[2]; ///< by unit of a head: [token][group][dim]
};

Builder::Builder(const AttentionShape &shape, int64_t tokens, int64_t position)
    : shape(shape), tokens(tokens), position(position), group(shape.group()),
      dim(shape.dim), distinct(std::min(tokens, distinctRows)),
      keys(makeUnits(keyCacheLanes)), values(makeUnits(1)) {
  for (std::vector<float> &some : queries)
    for (int64_t i = 0; i < distinct * group * dim; ++i)
      some.push_back(3 * uniform()); // so that positions differ in weight
}

/// `lanes` positions lie side by side.
Units Builder::makeUnits(int64_t lanes) {
  Units units;
  for (std::vector<float> &some : units.values) {
    std::vector<float> scales, laid(block * dim);
    for (int64_t j = 0; j < block; ++j)
      scales.push_back((1.5f + uniform()) / 254);
    for (int64_t i = 0; i < block * dim; ++i)
      some.push_back(shape.kind == lfm2::StoredKind::Q8
                         ? float(int(random() % 255) - 127)
                         : uniform());
    for (int64_t j = 0; j < block; ++j)
      for (int64_t d = 0; d < dim; ++d)
        laid[(j / lanes * dim + d) * lanes + j % lanes] = some[j * dim + d];
    auto append = [&](const void *data, size_t bytes) {
      auto *begin = static_cast<const uint8_t *>(data);
      units.stored.insert(units.stored.end(), begin, begin + bytes);
    };
    const auto *floats = reinterpret_cast<const uint8_t *>(laid.data());
    if (shape.kind == lfm2::StoredKind::F32) {
      append(floats, laid.size() * 4);
    } else if (shape.kind == lfm2::StoredKind::F16) {
      std::vector<uint8_t> halves(laid.size() * 2);
      const auto count = int64_t(laid.size());
      pack::convert(pack::Format::F32, floats, pack::Format::F16, halves.data(),
                    count);
      append(halves.data(), halves.size());
      auto *exact = reinterpret_cast<uint8_t *>(some.data());
      pack::convert(pack::Format::F32, exact, pack::Format::F16, halves.data(),
                    count);
      pack::convert(pack::Format::F16, halves.data(), pack::Format::F32, exact,
                    count);
    } else {
      std::vector<int8_t> codes(laid.begin(), laid.end());
      append(codes.data(), codes.size());
      append(scales.data(), scales.size() * 4);
      for (int64_t i = 0; i < block * dim; ++i)
        some[i] *= scales[i / dim];
    }
  }
  return units;
}

/// Softmax over the positions [begin, end) for one query of a head of `kind`:
/// the largest score into `high`, the weighted values, weights relative to it,
/// into sums[dim]; returns the weights' sum. Whole blocks count by their unit.
double Builder::weigh(int kind, int64_t token, int64_t head, int64_t begin,
                      int64_t end, double &high, double *sums) const {
  const float *q = &queries[kind][(token % distinct * group + head) * dim];
  double scores[2][block];
  for (int unit : {0, 1})
    for (int64_t j = 0; j < block; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < dim; ++d)
        dot += double(q[d]) * keys.values[unit][j * dim + d];
      scores[unit][j] = dot / std::sqrt(double(dim));
    }
  // How often each position of each unit is seen.
  int64_t times[2][block] = {};
  for (int64_t b = begin / block; b * block < end; ++b)
    for (int64_t j = std::max<int64_t>(0, begin - b * block);
         j < std::min(block, end - b * block); ++j)
      ++times[kind ^ unitOf(uint64_t(b))][j];
  high = -INFINITY;
  for (int unit : {0, 1})
    for (int64_t j = 0; j < block; ++j)
      if (times[unit][j])
        high = std::max(high, scores[unit][j]);
  double mass = 0;
  std::fill_n(sums, dim, 0.0);
  for (int unit : {0, 1})
    for (int64_t j = 0; j < block; ++j) {
      if (!times[unit][j])
        continue;
      const double weight =
          double(times[unit][j]) * std::exp(scores[unit][j] - high);
      mass += weight;
      for (int64_t d = 0; d < dim; ++d)
        sums[d] += weight * values.values[unit][j * dim + d];
    }
  return mass;
}

/// What several tokens give: for both kinds of heads [token][group][dim].
std::vector<float> Builder::rows() const {
  std::vector<float> expected;
  std::vector<double> sums(dim);
  double high;
  for (int kind : {0, 1})
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t g = 0; g < group; ++g) {
        const int64_t end = position + t + 1;
        const int64_t begin =
            shape.window ? std::max<int64_t>(0, end - shape.window) : 0;
        const double mass = weigh(kind, t, g, begin, end, high, sums.data());
        for (double sum : sums)
          expected.push_back(float(sum / mass));
      }
  return expected;
}

/// What one token leaves of each piece and head (targets/AttentionKernels.cpp).
std::vector<float> Builder::parts(const Kernel &kernel) const {
  const int64_t piece = paramOf(kernel, "piece"), at = paramOf(kernel, "sums"),
                part = paramOf(kernel, "part");
  const int64_t end = position + 1;
  const int64_t first =
      shape.window ? std::max<int64_t>(0, end - shape.window) : 0;
  std::vector<float> expected;
  std::vector<double> sums(dim);
  for (int64_t begin = 0; begin < end; begin += piece)
    for (int64_t head = 0; head < shape.kvHeads; ++head) {
      std::vector<float> one(part, std::nanf(""));
      const int64_t from = std::max(begin, first),
                    to = std::min(begin + piece, end);
      for (int64_t g = 0; g < group && from < to; ++g) {
        double high;
        one[at + g] = float(
            weigh(unitOf(uint64_t(head)), 0, g, from, to, high, sums.data()));
        one[g] = float(high);
        for (int64_t d = 0; d < dim; ++d)
          one[2 * at + g * dim + d] = float(sums[d]);
      }
      expected.insert(expected.end(), one.begin(), one.end());
    }
  return expected;
}

std::vector<uint8_t> Builder::build(const Kernel (&kernels)[2],
                                    const MeasureOptions &options) {
  const bool one = paramOf(kernels[0], "piece");
  std::vector<float> outputs[2];
  if (one)
    for (int i : {0, 1})
      outputs[i] = parts(kernels[i]);
  else
    outputs[0] = rows();
  double largest = 1; // a part's sums are as large as its positions
  for (float value : outputs[0])
    if (!std::isnan(value))
      largest = std::max(largest, double(std::abs(value)));
  JobFile file(options, tokens, largest * errorOf(shape, options));
  file.job.position = uint64_t(position);
  std::vector<float> both = queries[0];
  both.insert(both.end(), queries[1].begin(), queries[1].end());
  const uint64_t q = file.append(both), k = file.append(keys.stored),
                 v = file.append(values.stored);
  const uint64_t y = file.append(outputs[0]);
  const auto heads = uint64_t(shape.kvHeads), width = uint64_t(group * dim);
  const uint64_t blocks = heads * uint64_t(cachePositions / block),
                 bytes = uint64_t(block * shape.rowBytes());
  for (int i : {0, 1}) {
    const kernel::ChunksAttr chunks = kernels[i].chunks;
    const int64_t cut = one ? paramOf(kernels[i], "piece") : chunks.getTokens();
    const int64_t length = one ? position + 1 : tokens;
    file.job.kernel[i].chunks =
        uint64_t(chunks.getFixed() * ((length + cut - 1) / cut));
    file.add(
        i, operandOf(LFM_OPERAND_GRID, uint32_t(distinct), heads, 0, width, q));
    file.add(i, operandOf(LFM_OPERAND_UNITS, 0, blocks, bytes, 0, k));
    file.add(i, operandOf(LFM_OPERAND_UNITS, 0, blocks, bytes, 0, v));
    if (one)
      file.add(i, operandOf(LFM_OPERAND_OUTPUT, 1, 1, 0, outputs[i].size(),
                            i ? file.append(outputs[1]) : y));
    else
      file.add(i, operandOf(LFM_OPERAND_OUTPUT, uint32_t(tokens), heads, 0,
                            width, y));
  }
  return file.take();
}

std::string moduleOf(const AttentionShape &shape) {
  std::string text;
  const std::string cache = fmt::format(
      "tensor<{}x{}x{}x{}>", cachePositions, shape.kvHeads, shape.dim,
      shape.kind == lfm2::StoredKind::F16   ? "f16"
      : shape.kind == lfm2::StoredKind::F32 ? "f32"
                                            : "f32, #lfm2.quantized_cache<64>");
  for (const char *rows : {"1", "?"}) {
    const std::string x =
        fmt::format("tensor<{}x{}xf32>", rows, shape.heads * shape.dim);
    text += fmt::format(
        "func.func @f{0}(%q: {1}, %k: {2}, %v: {2}, %pos: index) -> {1} {{\n"
        "%y = lfm2.attention %q, %k, %v at %pos scale {3:.17e}{4} : {1}, {2}, "
        "{2}\nreturn %y : {1}\n}}\n",
        rows[0] == '1' ? "one" : "many", x, cache,
        1 / std::sqrt(double(shape.dim)),
        shape.window ? fmt::format(" window {}", shape.window) : "");
  }
  return text;
}

class AttentionSubject : public Subject {
public:
  explicit AttentionSubject(const AttentionShape &shape) : shape(shape) {}
  std::string module(const Target &) const override { return moduleOf(shape); }
  llvm::StringRef op() const override { return "lfm2.attention"; }
  unsigned pointers() const override { return 4; } // q, keys, values, y
  int64_t mostTokens() const override { return cachePositions; }
  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override {
    return Builder(shape, tokens, tokens == 1 ? tunedPositions - 1 : 0)
        .build(kernels, options);
  }

private:
  const AttentionShape shape;
};

} // namespace

Subjects makeSubject(const AttentionShape &shape) {
  return std::make_unique<AttentionSubject>(shape);
}

} // namespace lfmc::tune
