// SPDX-License-Identifier: Apache-2.0
//
// linear: two units of rows of a weight are made and reused.
#include "codegen/tune/Subject.h"
#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"

#include <cmath>

using namespace llvm;

namespace lfmc::tune {
namespace {

class DataBuilder {
public:
  DataBuilder(const LinearShape &linear, int64_t tokens, RowForm form,
              const Kernel (&kernels)[2]);
  std::vector<uint8_t> build(const MeasureOptions &options);

private:
  void addExpected(int index);

  const LinearShape &linear;
  const int64_t tokens;
  const RowForm form;
  const int64_t rows; ///< distinct tokens of x
  const Kernel (&kernels)[2];
  Xoshiro256 random{42};
  const TestRows x;
  const WeightUnits weight;
  const int64_t unit, columns; ///< rows of a unit, columns that they give
  std::vector<float> bias[2];  ///< [unit]
  std::vector<float> expected; ///< [2][rows][columns]
  double largest = 0;          ///< sum of the sizes of an output's terms
};

DataBuilder::DataBuilder(const LinearShape &linear, int64_t tokens,
                         RowForm form, const Kernel (&kernels)[2])
    : linear(linear), tokens(tokens), form(form),
      rows(std::min(tokens, distinctRows * form.together)), kernels(kernels),
      x(makeRows(rows, linear.k, linear.block, form, random)),
      weight(linear.kind, linear.block, linear.n, linear.k, kernels, random),
      unit(weight.rows()), columns(linear.swiglu ? unit / 2 : unit) {
  for (std::vector<float> &some : bias)
    for (int64_t i = 0; linear.bias && i < unit; ++i)
      some.push_back(uniform(random));
  addExpected(0);
  addExpected(1);
}

/// What a unit gives.
void DataBuilder::addExpected(int index) {
  const int64_t k = linear.k;
  auto dot = [&](int64_t token, int64_t row) {
    return dotOf(&x.values[token * k], &weight.values(index)[row * k], k,
                 largest) +
           (linear.bias ? bias[index][row] : 0);
  };
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t c = 0; c < columns; ++c)
      expected.push_back(linear.swiglu
                             ? float(siluOf(dot(t, c)) * dot(t, columns + c))
                             : float(dot(t, c)));
}

std::vector<uint8_t> DataBuilder::build(const MeasureOptions &options) {
  // f32 sums of k terms; with swiglu a product of two of them. Rewritten
  // weights are off by up to 1/30 of a step of 4 bits, at random.
  const double error =
      form.shared > 32 ? 0.03 / std::sqrt(double(linear.k)) : 4e-6;
  JobFile file(options, tokens, largest * error * (linear.swiglu ? 4 : 1));
  const uint64_t xAt = file.append(x.bytes), yAt = file.append(expected);
  std::vector<float> biases = bias[0];
  biases.insert(biases.end(), bias[1].begin(), bias[1].end());
  const uint64_t biasAt = file.append(biases);
  const auto count = uint64_t(linear.n / unit), width = uint64_t(columns);
  file.setChunks(kernels, tokens);
  for (int i = 0; i < 2; ++i) {
    const lfm2::PanelsAttr layout = kernels[i].layout;
    const auto groups = uint64_t(rows / form.together);
    file.add(i, operandOf(LFM_OPERAND_ROWS, groups, uint64_t(form.together),
                          x.bytes.size() / groups, 0, xAt));
    if (i == 1 && layout == kernels[0].layout)
      file.add(i, file.job.kernel[0].operand[1]);
    else
      file.add(i, weight.operand(file, layout, count));
    if (linear.bias)
      file.add(
          i, operandOf(LFM_OPERAND_GRID, 1, count, 0, uint64_t(unit), biasAt));
    file.add(
        i, operandOf(LFM_OPERAND_OUTPUT, uint64_t(rows), count, 0, width, yAt));
  }
  return file.take();
}

std::string moduleOf(const LinearShape &linear) {
  std::string kind = lfm2::stringifyStoredKind(linear.kind).str();
  std::string weight = fmt::format(
      "tensor<{}x{}xf32, #lfm2.stored<{}{}>>", linear.n, linear.k, kind,
      linear.block ? fmt::format(" block {}", linear.block) : "");
  std::string text =
      fmt::format("lfm2.weight @w : {} = #lfm2.source<\"w\">\n", weight);
  std::string biasType =
      fmt::format("tensor<{}xf32, #lfm2.stored<f32>>", linear.n);
  if (linear.bias)
    text +=
        fmt::format("lfm2.weight @b : {} = #lfm2.source<\"b\">\n", biasType);
  for (const char *rows : {"1", "?"}) {
    std::string x = fmt::format("tensor<{}x{}xf32{}>", rows, linear.k,
                                linear.block ? ", #lfm2.quantized<32>" : "");
    std::string y = fmt::format("tensor<{}x{}xf32>", rows,
                                linear.swiglu ? linear.n / 2 : linear.n);
    text += fmt::format("func.func @f{}(%x: {}) -> {} {{\n",
                        rows[0] == '1' ? "one" : "many", x, y);
    text += fmt::format("%w = lfm2.param @w : {}\n", weight);
    if (linear.bias)
      text += fmt::format("%b = lfm2.param @b : {}\n", biasType);
    text += fmt::format(
        "%y = lfm2.linear %x, %w {}{} : ({}, {}{}) -> {}\nreturn %y : {}\n}}\n",
        linear.bias ? "bias(%b) " : "",
        linear.swiglu ? "{activation = #lfm2.activation<swiglu>}" : "", x,
        weight, linear.bias ? ", " + biasType : "", y, y);
  }
  return text;
}

class LinearSubject : public Subject {
public:
  explicit LinearSubject(const LinearShape &shape) : shape(shape) {}
  std::string module(const Target &) const override { return moduleOf(shape); }
  StringRef op() const override { return "lfm2.linear"; }
  // x, weight, y; a bias before y.
  unsigned pointers() const override { return shape.bias ? 4 : 3; }
  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override {
    return DataBuilder(shape, tokens, formOf(kernels[0], tokens), kernels)
        .build(options);
  }

private:
  const LinearShape shape;
};

} // namespace

Subjects makeSubject(const LinearShape &shape) {
  return std::make_unique<LinearSubject>(shape);
}

} // namespace lfmc::tune
