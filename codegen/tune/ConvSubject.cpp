// SPDX-License-Identifier: Apache-2.0
//
// short_conv: the state is put back before each call that is checked.
#include "codegen/tune/Subject.h"
#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"

namespace lfmc::tune {
namespace {

class ConvSubject : public Subject {
public:
  explicit ConvSubject(const ConvShape &shape) : shape(shape) {}
  std::string module(const Target &target) const override;
  llvm::StringRef op() const override { return "lfm2.short_conv"; }
  // x, weight, both gates, y, state; bias behind the weight.
  unsigned pointers() const override { return shape.bias ? 7 : 6; }
  int64_t mostTokens() const override { return 4096; }
  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override;

private:
  const ConvShape shape;
};

std::string ConvSubject::module(const Target &) const {
  const int64_t channels = shape.channels;
  const std::string weight =
      fmt::format("tensor<{}x{}xf32, #lfm2.stored<f32>>", channels, shape.taps);
  const std::string bias = fmt::format("tensor<{}xf32>", channels);
  const std::string state =
      fmt::format("tensor<{}x{}xf32>", shape.taps - 1, channels);
  std::string text;
  for (const char *count : {"1", "?"}) {
    const std::string x = fmt::format("tensor<{}x{}xf32>", count, channels);
    text += fmt::format(
        "func.func @f{0}(%x: {1}, %b: {1}, %c: {1}, %w: {2}, %s: {3}, %d: {4})"
        " -> ({1}, {3}) {{\n"
        "%y, %s1 = lfm2.short_conv %x, %w, %s {5}gates(%b, %c) : ({1}, {2}, "
        "{3}, {6}{1}, {1}) -> ({1}, {3})\n"
        "return %y, %s1 : {1}, {3}\n}}\n",
        count[0] == '1' ? "one" : "many", x, weight, state, bias,
        shape.bias ? "bias(%d) " : "", shape.bias ? bias + ", " : "");
  }
  return text;
}

std::vector<uint8_t> ConvSubject::job(const Kernel (&kernels)[2],
                                      int64_t tokens,
                                      const MeasureOptions &options) const {
  Xoshiro256 random{49};
  const int64_t n = shape.channels, taps = shape.taps;
  const int64_t rows = std::min(tokens, distinctRows);
  auto make = [&](int64_t count) {
    return makeRows(count, n, false, {}, random).values;
  };
  const std::vector<float> x = make(rows), pre = make(rows), post = make(rows);
  const std::vector<float> weight = make(taps), bias = make(1);
  const std::vector<float> before = make(taps - 1);
  // Products, those of the state first.
  std::vector<float> z = before, y;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t c = 0; c < n; ++c)
      z.push_back(pre[t % rows * n + c] * x[t % rows * n + c]);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t c = 0; c < n; ++c) {
      double sum = shape.bias ? bias[c] : 0;
      for (int64_t j = 0; j < taps; ++j)
        sum += double(weight[j * n + c]) * z[(t + j) * n + c];
      y.push_back(float(post[t % rows * n + c] * sum));
    }
  const std::vector<float> after(z.end() - (taps - 1) * n, z.end());
  JobFile file(options, tokens, 0);
  const uint64_t begin = file.append(before);
  file.setChunks(kernels, tokens);
  file.addRows(x, rows);
  file.addPlain(weight);
  if (shape.bias)
    file.addPlain(bias);
  file.addRows(pre, rows);
  file.addRows(post, rows);
  file.addFloats(y, tokens, tokens, 1e-5, 0);
  file.addFloats(after, 1, 1, 1e-6, 0);
  lfm_job_kernel &kernel = file.job.kernel[0];
  kernel.operand[kernel.operands - 1].begin = begin;
  file.repeatOperands();
  return file.take();
}

} // namespace

Subjects makeSubject(const ConvShape &shape) {
  return std::make_unique<ConvSubject>(shape);
}

} // namespace lfmc::tune
