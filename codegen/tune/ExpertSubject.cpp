// SPDX-License-Identifier: Apache-2.0
//
// experts: each expert is some units of a weight of two; tokens repeat with
// their choices.
#include "codegen/tune/Subject.h"
#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lfmc::tune {
namespace {

/// Choices repeat after more tokens than rows do.
constexpr int64_t distinctChoices = 5 * distinctRows;

class ExpertSubject : public Subject {
public:
  explicit ExpertSubject(const ExpertShape &shape) : shape(shape) {}
  std::string module(const Target &target) const override;
  llvm::StringRef op() const override { return "lfm2.experts"; }
  // x, weight, chosen, y; scales before y.
  unsigned pointers() const override { return shape.swiglu ? 5 : 4; }
  int64_t mostTokens() const override { return 4096; }
  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override;

private:
  /// Columns of x, of an expert's result and of a token's.
  int64_t xWidth() const {
    return shape.swiglu ? shape.k : shape.topK * shape.k;
  }
  int64_t columns() const { return shape.swiglu ? shape.n / 2 : shape.n; }
  int64_t yWidth() const {
    return shape.swiglu ? shape.topK * columns() : columns();
  }

  const ExpertShape shape;
};

std::string ExpertSubject::module(const Target &) const {
  const std::string weight = fmt::format(
      "tensor<{}x{}xf32, #lfm2.stored<{}{}>>", shape.experts * shape.n, shape.k,
      lfm2::stringifyStoredKind(shape.kind).str(),
      shape.block ? fmt::format(" block {}", shape.block) : "");
  std::string text;
  for (const char *count : {"1", "?"}) {
    const bool one = count[0] == '1';
    const std::string x =
        fmt::format("tensor<{}x{}xf32{}>", count, xWidth(),
                    shape.block ? ", #lfm2.quantized<32>" : "");
    const std::string y = fmt::format("tensor<{}x{}xf32>", count, yWidth());
    const std::string ids = fmt::format("tensor<{}x{}xi32>", count, shape.topK);
    const std::string scales =
        fmt::format("tensor<{}x{}xf32>", count, shape.topK);
    text += fmt::format(
        "func.func @f{}(%x: {}, %w: {}, %e: {}, %s: {}) -> {} attributes "
        "{{lfm2.max_tokens = {} : i64}} {{\n"
        "%y = lfm2.experts %x, %w of {} chosen(%e) {}: ({}, {}, {}{}) -> {}\n"
        "return %y : {}\n}}\n",
        one ? "one" : "many", x, weight, ids, scales, y, one ? 1 : mostTokens(),
        shape.experts,
        shape.swiglu ? "scales(%s) {activation = #lfm2.activation<swiglu>} "
                     : "",
        x, weight, ids, shape.swiglu ? ", " + scales : "", y, y);
  }
  return text;
}

std::vector<uint8_t> ExpertSubject::job(const Kernel (&kernels)[2],
                                        int64_t tokens,
                                        const MeasureOptions &options) const {
  Xoshiro256 random{47};
  const int64_t rows = std::min(tokens, distinctRows);
  const int64_t distinct = std::min(tokens, distinctChoices);
  const TestRows x = makeRows(rows, xWidth(), shape.block, {}, random);
  const WeightUnits weight(shape.kind, shape.block, shape.n, shape.k, kernels,
                           random);
  const int64_t unit = weight.rows(), each = shape.n / unit, k = shape.k;
  const int64_t give = shape.swiglu ? unit / 2 : unit;

  // What both units give for each slice of x that an expert may read.
  const int64_t slices = shape.swiglu ? rows : rows * shape.topK;
  std::vector<float> products[2];
  double largest = 0; // sum of the sizes of an output's terms
  for (int index : {0, 1})
    for (int64_t slice = 0; slice < slices; ++slice) {
      auto dot = [&](int64_t row) {
        return dotOf(&x.values[slice * k], &weight.values(index)[row * k], k,
                     largest);
      };
      for (int64_t c = 0; c < give; ++c)
        products[index].push_back(shape.swiglu
                                      ? float(siluOf(dot(c)) * dot(give + c))
                                      : float(dot(c)));
    }

  std::vector<int32_t> chosen;
  std::vector<float> scales, y;
  std::vector<int32_t> experts(shape.experts);
  std::iota(experts.begin(), experts.end(), 0);
  for (int64_t t = 0; t < distinct; ++t) {
    std::vector<float> row(yWidth(), 0.0f);
    for (int64_t j = 0; j < shape.topK; ++j) {
      const int64_t left = shape.experts - j;
      std::swap(experts[j], experts[j + int64_t(random() % uint64_t(left))]);
      const int32_t expert = experts[j];
      const float scale = shape.swiglu ? 0.75f + uniform(random) / 2 : 1;
      chosen.push_back(expert);
      scales.push_back(scale);
      const int64_t slice = shape.swiglu ? t % rows : t % rows * shape.topK + j;
      for (int64_t c = 0; c < columns(); ++c) {
        const int index = unitOf(uint64_t(expert * each + c / give));
        row[(shape.swiglu ? j * columns() : 0) + c] +=
            scale * products[index][slice * give + c % give];
      }
    }
    y.insert(y.end(), row.begin(), row.end());
  }

  JobFile file(options, tokens, 0);
  const double error = largest * 4e-6 * double(shape.swiglu ? 4 : shape.topK);
  const auto units = uint64_t(shape.experts * each);
  file.setChunks(kernels, tokens);
  file.addRows(x.bytes, rows);
  file.add(0, weight.operand(file, kernels[0].layout, units));
  file.addRows(chosen, distinct);
  if (shape.swiglu)
    file.addRows(scales, distinct);
  file.addFloats(y, tokens, distinct, error, 0);
  file.repeatOperands();
  if (kernels[1].layout != kernels[0].layout)
    file.job.kernel[1].operand[1] =
        weight.operand(file, kernels[1].layout, units);
  return file.take();
}

} // namespace

Subjects makeSubject(const ExpertShape &shape) {
  return std::make_unique<ExpertSubject>(shape);
}

} // namespace lfmc::tune
