// SPDX-License-Identifier: Apache-2.0
//
// Each lfm2 op against its formula in f64. Attention and rope are in
// AttentionOpsTest.cpp.
#include "tests/passes/expand/Support.h"

#include <cmath>

using namespace lfmc;
using namespace lfmc::test;

namespace {

using Matrix = std::vector<double>; // row-major

Matrix wide(const HostTensor &tensor) {
  auto values = tensor.floats();
  return Matrix(values.begin(), values.end());
}

Matrix rmsNorm(const Matrix &x, const Matrix &weight, double eps) {
  Matrix result(x.size());
  size_t group = weight.size();
  for (size_t start = 0; start < x.size(); start += group) {
    double sum = 0;
    for (size_t i = 0; i < group; ++i)
      sum += x[start + i] * x[start + i];
    for (size_t i = 0; i < group; ++i)
      result[start + i] =
          weight[i] * x[start + i] / std::sqrt(sum / double(group) + eps);
  }
  return result;
}

Matrix matmul(const Matrix &x, const Matrix &weight, size_t columns) {
  size_t rows = x.size() / columns, outputs = weight.size() / columns;
  Matrix result(rows * outputs);
  for (size_t t = 0; t < rows; ++t)
    for (size_t n = 0; n < outputs; ++n)
      for (size_t k = 0; k < columns; ++k)
        result[t * outputs + n] += x[t * columns + k] * weight[n * columns + k];
  return result;
}

double silu(double x) { return x / (1 + std::exp(-x)); }

TEST(Ops, Embed) {
  HostTensor table = random({10, 4}, 1);
  auto found = run(R"(
    func.func @f(%t: tensor<?xi32>, %w: tensor<10x4xf32>) -> tensor<?x4xf32> {
      %0 = lfm2.embed %t, %w : (tensor<?xi32>, tensor<10x4xf32>) -> tensor<?x4xf32>
      return %0 : tensor<?x4xf32>
    })",
                   {HostTensor::i32({9, 0, 3}), table});
  ASSERT_EQ(found.size(), 1u);
  Matrix wanted;
  for (int row : {9, 0, 3})
    for (int i = 0; i < 4; ++i)
      wanted.push_back(table.floats()[row * 4 + i]);
  expectNear(found[0], wanted, 0);
}

TEST(Ops, RmsNormOverRowsAndHeads) {
  for (int64_t group : {12, 4, 1}) {
    HostTensor x = random({5, 12}, 2), weight = random({group}, 3);
    std::string w = "tensor<" + std::to_string(group) + "xf32>";
    auto found = run("func.func @f(%x: tensor<?x12xf32>, %g: " + w +
                         ") -> tensor<?x12xf32> {\n"
                         "%0 = lfm2.rms_norm %x, %g eps 1.0e-02 : "
                         "tensor<?x12xf32>, " +
                         w + "\nreturn %0 : tensor<?x12xf32>\n}",
                     {x, weight});
    ASSERT_EQ(found.size(), 1u);
    expectNear(found[0], rmsNorm(wide(x), wide(weight), 1e-2), 1e-6);
  }
}

TEST(Ops, LinearWithNormBiasAndResidual) {
  // A static token count, as in @decode, and a dynamic one.
  for (const char *tokens : {"1", "?"}) {
    int64_t rows = *tokens == '1' ? 1 : 7;
    HostTensor x = random({rows, 33}, 4), weight = random({9, 33}, 5),
               bias = random({9}, 6), norm = random({33}, 7),
               residual = random({rows, 9}, 8);
    std::string ir = R"(
      func.func @f(%x: tensor<Tx33xf32>, %w: tensor<9x33xf32>, %b: tensor<9xf32>,
                   %g: tensor<33xf32>, %r: tensor<Tx9xf32>) -> tensor<Tx9xf32> {
        %0 = lfm2.linear %x, %w bias(%b) norm(%g) residual(%r) {eps = 1.0e-05 : f64}
          : (tensor<Tx33xf32>, tensor<9x33xf32>, tensor<9xf32>, tensor<33xf32>, tensor<Tx9xf32>) -> tensor<Tx9xf32>
        return %0 : tensor<Tx9xf32>
      })";
    for (size_t at; (at = ir.find("<Tx")) != std::string::npos;)
      ir.replace(at + 1, 1, tokens);
    auto found = run(ir, {x, weight, bias, norm, residual});
    ASSERT_EQ(found.size(), 1u);
    Matrix wanted =
        matmul(rmsNorm(wide(x), wide(norm), 1e-5), wide(weight), 33);
    for (size_t i = 0; i < wanted.size(); ++i)
      wanted[i] += bias.floats()[i % 9] + residual.floats()[i];
    expectNear(found[0], wanted, 1e-5);
  }
}

TEST(Ops, LinearWithSwigluReadsBothHalves) {
  HostTensor x = random({3, 8}, 9), weight = random({10, 8}, 10);
  auto found = run(R"(
    func.func @f(%x: tensor<?x8xf32>, %w: tensor<10x8xf32, #lfm2.stored<f32>>) -> tensor<?x5xf32> {
      %0 = lfm2.linear %x, %w {activation = #lfm2.activation<swiglu>}
        : (tensor<?x8xf32>, tensor<10x8xf32, #lfm2.stored<f32>>) -> tensor<?x5xf32>
      return %0 : tensor<?x5xf32>
    })",
                   {x, weight});
  ASSERT_EQ(found.size(), 1u);
  Matrix y = matmul(wide(x), wide(weight), 8), wanted;
  for (int t = 0; t < 3; ++t)
    for (int i = 0; i < 5; ++i)
      wanted.push_back(silu(y[t * 10 + i]) * y[t * 10 + 5 + i]);
  expectNear(found[0], wanted, 1e-6);
}

TEST(Ops, Swiglu) {
  HostTensor gate = random({4, 6}, 11), up = random({4, 6}, 12);
  for (float &value : gate.floats())
    value *= 100; // both ends of the exponential
  auto found = run(R"(
    func.func @f(%a: tensor<?x6xf32>, %b: tensor<?x6xf32>) -> tensor<?x6xf32> {
      %0 = lfm2.swiglu %a, %b : tensor<?x6xf32>
      return %0 : tensor<?x6xf32>
    })",
                   {gate, up});
  ASSERT_EQ(found.size(), 1u);
  Matrix wanted;
  for (int i = 0; i < 24; ++i)
    wanted.push_back(silu(gate.floats()[i]) * up.floats()[i]);
  expectNear(found[0], wanted, 2e-5);
}

// One call for all tokens, against the definition with z before the state's
// end.
TEST(Ops, ShortConvOfFewAndManyTokens) {
  for (int64_t taps : {2, 3, 5})
    for (int64_t tokens : {1, 2, 3, 9}) {
      HostTensor x = random({tokens, 4}, 13), weight = random({4, taps}, 14),
                 state = random({taps - 1, 4}, 15), bias = random({4}, 16),
                 pre = random({tokens, 4}, 17), post = random({tokens, 4}, 18);
      std::string w = "tensor<4x" + std::to_string(taps) + "xf32>";
      std::string s = "tensor<" + std::to_string(taps - 1) + "x4xf32>";
      std::string rows = "tensor<?x4xf32>", b = "tensor<4xf32>";
      std::string types =
          rows + ", " + w + ", " + s + ", " + b + ", " + rows + ", " + rows;
      auto found =
          run("func.func @f(%x: " + rows + ", %w: " + w + ", %s: " + s +
                  ", %b: " + b + ", %p: " + rows + ", %q: " + rows + ") -> (" +
                  rows + ", " + s +
                  ") {\n%0:2 = lfm2.short_conv %x, %w, %s bias(%b) gates(%p, "
                  "%q) : (" +
                  types + ") -> (" + rows + ", " + s +
                  ")\nreturn %0#0, %0#1 : " + rows + ", " + s + "\n}",
              {x, weight, state, bias, pre, post});
      ASSERT_EQ(found.size(), 2u);
      Matrix z = wide(state);
      for (int64_t i = 0; i < tokens * 4; ++i)
        z.push_back(double(pre.floats()[i]) * x.floats()[i]);
      Matrix wanted;
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t h = 0; h < 4; ++h) {
          double y = bias.floats()[h];
          for (int64_t j = 0; j < taps; ++j)
            y += weight.floats()[h * taps + j] * z[(t + j) * 4 + h];
          wanted.push_back(post.floats()[t * 4 + h] * y);
        }
      expectNear(found[0], wanted, 1e-6);
      expectNear(found[1], Matrix(z.end() - (taps - 1) * 4, z.end()), 1e-7);
    }
}

TEST(Ops, InputsAreNotChanged) {
  HostTensor cache = random({4, 1, 2}, 19), before = cache;
  auto found = run(R"(
    func.func @f(%x: tensor<?x2xf32>, %c: tensor<4x1x2xf32>, %p: index) -> tensor<4x1x2xf32> {
      %0 = lfm2.cache_write %x into %c at %p : tensor<?x2xf32>, tensor<4x1x2xf32>
      return %0 : tensor<4x1x2xf32>
    })",
                   {random({2, 2}, 20), cache, HostTensor::index(1)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(cache.data, before.data);
  EXPECT_NE(found[0].data, before.data);
}

} // namespace
