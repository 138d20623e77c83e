// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

#include <cmath>

namespace lfmc::halide::test {
namespace {

struct Conv {
  int channels, taps, stateStride, weightStride;
  bool bias;
};

Case convCase(const Conv &s) {
  MicroKernel kernel{"short_conv",
                     {{"channels", s.channels},
                      {"taps", s.taps},
                      {"s_stride", s.stateStride},
                      {"w_stride", s.weightStride},
                      {"bias", s.bias}},
                     {}};
  return {
      kernel, [=](const Kernel &kernel) {
        Random random(s.channels);
        Buffer<float> b(s.channels), cg(s.channels), x(s.channels);
        Buffer<float> bias(s.channels), y(s.channels, untouched);
        Buffer<float> w(size_t(s.taps - 1) * s.weightStride + s.channels);
        Buffer<float> state(size_t(s.taps - 2) * s.stateStride + s.channels);
        for (auto *buffer : {&b, &cg, &x, &bias, &w, &state})
          random.fill(*buffer);
        std::vector<void *> args = {b.data(), cg.data(), x.data(), w.data()};
        if (s.bias)
          args.push_back(bias.data());
        args.push_back(state.data());
        args.push_back(y.data());
        kernel(args);
        for (int c = 0; c < s.channels; ++c) {
          double sum = s.bias ? bias[c] : 0.0, size = std::fabs(sum);
          for (int j = 0; j < s.taps; ++j) {
            double z = j + 1 < s.taps ? double(state[j * s.stateStride + c])
                                      : double(b[c]) * x[c];
            sum += w[j * s.weightStride + c] * z;
            size += std::fabs(w[j * s.weightStride + c] * z);
          }
          ASSERT_NEAR(y[c], cg[c] * sum, 5e-7 * size) << "channel " << c;
        }
      }};
}

Case pushCase(const Conv &s) {
  MicroKernel kernel{"short_conv_push",
                     {{"channels", s.channels},
                      {"taps", s.taps},
                      {"s_stride", s.stateStride},
                      {"w_stride", s.weightStride},
                      {"bias", s.bias}},
                     {}};
  return {kernel, [=](const Kernel &kernel) {
            Random random(s.channels + s.taps);
            Buffer<float> b(s.channels), x(s.channels);
            Buffer<float> state(size_t(s.taps - 2) * s.stateStride +
                                s.channels);
            for (auto *buffer : {&b, &x, &state})
              random.fill(*buffer);
            std::vector<float> before(state.begin(), state.end());
            kernel({b.data(), x.data(), state.data()});
            for (int j = 0; j < s.taps - 1; ++j)
              for (int c = 0; c < s.stateStride; ++c) {
                size_t at = size_t(j) * s.stateStride + c;
                if (at >= state.size())
                  break;
                float want = c >= s.channels  ? before[at]
                             : j + 2 < s.taps ? before[at + s.stateStride]
                                              : b[c] * x[c];
                ASSERT_EQ(state[at], want) << "tap " << j << " channel " << c;
              }
          }};
}

const std::vector<Conv> shapes = {
    {256, 3, 256, 256, false}, {64, 3, 2048, 2048, true},
    {77, 3, 80, 77, false},    {16, 2, 16, 16, false},
    {32, 4, 40, 36, true},     {1, 3, 4, 4, false},
    {100, 7, 128, 100, false}, {8, 3, 8, 8, true},
};

class ShortConvTest : public IsaTest {};

TEST_P(ShortConvTest, Convolution) {
  std::vector<Case> cases;
  for (const Conv &shape : shapes)
    cases.push_back(convCase(shape));
  run(cases);
}

TEST_P(ShortConvTest, PushMovesTheStateInPlace) {
  std::vector<Case> cases;
  for (const Conv &shape : shapes)
    cases.push_back(pushCase(shape));
  run(cases);
}

LFMC_FOR_EACH_ISA(ShortConvTest);

} // namespace
} // namespace lfmc::halide::test
