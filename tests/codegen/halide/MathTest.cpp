// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Math.h"
#include "tests/codegen/halide/Harness.h"

#include <cmath>
#include <limits>

namespace lfmc::halide::test {
namespace {

class MathTest : public IsaTest {
protected:
  std::vector<float> exponentials(const std::vector<float> &arguments) {
    Halide::Buffer<float> in(const_cast<float *>(arguments.data()),
                             static_cast<int>(arguments.size()));
    Halide::Var i;
    Halide::Func f;
    f(i) = expF32(in(i));
    Halide::Target target(GetParam().target);
    f.vectorize(i, target.natural_vector_size<float>(),
                Halide::TailStrategy::GuardWithIf);
    Halide::Buffer<float> out =
        f.realize({static_cast<int>(arguments.size())}, target);
    return {out.begin(), out.end()};
  }
};

TEST_P(MathTest, ExpIsWithinTwoUlp) {
  // Every 2003rd float of the range, of both signs.
  std::vector<float> arguments;
  for (float limit : {-87.0f, 88.0f}) {
    uint32_t last;
    std::memcpy(&last, &limit, 4);
    for (uint32_t bits = last & 0x80000000; bits <= last; bits += 2003) {
      float value;
      std::memcpy(&value, &bits, 4);
      arguments.push_back(value);
    }
    arguments.push_back(limit);
  }
  std::vector<float> found = exponentials(arguments);
  double worst = 0;
  float worstAt = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    double want = std::exp(double(arguments[i]));
    double ulp = std::ldexp(1.0, std::ilogb(want) - 23);
    double error = std::fabs(found[i] - want) / ulp;
    if (!(error <= worst)) {
      worst = error;
      worstAt = arguments[i];
    }
  }
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LE(worst, 2.0) << "at " << worstAt;
}

TEST_P(MathTest, ExpAtTheEdges) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> found = exponentials(
      {0.0f, -0.0f, -88.0f, -1000.0f, -1e30f, -infinity, 1000.0f, -87.3f});
  EXPECT_EQ(found[0], 1.0f);
  EXPECT_EQ(found[1], 1.0f);
  for (int i = 2; i <= 5; ++i)
    EXPECT_EQ(found[i], 0.0f) << i;
  EXPECT_GT(found[6], 2.3e38f);
  EXPECT_LT(found[6], infinity);
  EXPECT_GT(found[7], 1.1e-38f);
}

LFMC_FOR_EACH_ISA(MathTest);

} // namespace
} // namespace lfmc::halide::test
