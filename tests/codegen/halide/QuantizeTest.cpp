// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

#include <cfenv>
#include <cmath>
#include <limits>
#include <memory>

namespace lfmc::halide::test {
namespace {

// A row's parts behind each other, as linear_q reads them.
struct Row {
  int width;
  Buffer<uint8_t> stored;
  explicit Row(int width) : width(width), stored(width + width / 4, 0xee) {}
  int8_t *q() const { return reinterpret_cast<int8_t *>(stored.data()); }
  float *scale() const {
    return reinterpret_cast<float *>(stored.data() + width);
  }
  int32_t *sum() const {
    return reinterpret_cast<int32_t *>(stored.data() + width + width / 8);
  }
};

void compare(const Row &row, const float *x, int size = 32, bool raised = false,
             bool limited = false) {
  ASSERT_EQ(std::fegetround(), FE_TONEAREST);
  for (int b = 0; b < row.width / size; ++b) {
    float largest = 0;
    for (int i = 0; i < size; ++i)
      largest = std::max(largest, std::fabs(x[b * size + i]));
    for (int i = 0; limited && i < size; i += 2)
      largest =
          std::max(largest, std::fabs(x[b * size + i] + x[b * size + i + 1]));
    float scale = largest / 127.0f;
    if (scale < std::numeric_limits<float>::min())
      scale = 0;
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    ASSERT_EQ(row.scale()[b], scale) << "block " << b;
    int total = 0;
    for (int i = b * size; i < (b + 1) * size; ++i) {
      float scaled = x[i] * inverse;
      const int code = int8_t(row.q()[i] ^ (raised ? -128 : 0));
      ASSERT_EQ(code, int(std::nearbyint(scaled))) << "element " << i;
      total += code;
      if (limited && i % 2 && scale > 0) {
        ASSERT_LE(std::abs(code + row.q()[i - 1]), 128);
      }
    }
    ASSERT_EQ(row.sum()[b], total) << "block " << b;
  }
}

Case quantizeCase(int width, std::function<float(int, Random &)> value,
                  int group = 32, int vector = 32, bool raised = false,
                  bool limited = false) {
  return {MicroKernel{"quantize",
                      {{"width", width},
                       {"group", group},
                       {"vector", vector},
                       {"raised", raised},
                       {"limited", limited}},
                      {}},
          [=](const Kernel &kernel) {
            Random random(width);
            Buffer<float> x(width);
            for (int i = 0; i < width; ++i)
              x[i] = value(i, random);
            Row row(width);
            kernel({x.data(), row.q(), row.scale(), row.sum()});
            compare(row, x.data(), group, raised, limited);
          }};
}

// Heads of a cache at one position: codes `adjacent` bytes apart.
Case headsCase(int dim, int heads, int adjacent) {
  const int stride = 3 * (dim + 4) * adjacent;
  return {MicroKernel{"quantize_heads",
                      {{"dim", dim},
                       {"heads", heads},
                       {"q_elem_stride", adjacent},
                       {"q_head_stride", stride}},
                      {}},
          [=](const Kernel &kernel) {
            Random random(dim);
            Buffer<float> x(dim * heads);
            random.fill(x);
            for (int i = 0; i < dim; ++i)
              x[i] = 0; // the first head
            Buffer<uint8_t> q((heads - 1) * stride + (dim - 1) * adjacent + 1,
                              0xee);
            Buffer<float> scale((heads - 1) * stride / 4 + 1, untouched);
            kernel({x.data(), q.data(), scale.data()});
            for (int h = 0; h < heads; ++h) {
              float largest = 0;
              for (int i = 0; i < dim; ++i)
                largest = std::max(largest, std::fabs(x[h * dim + i]));
              const float unit = largest / 127.0f;
              ASSERT_EQ(scale[h * stride / 4], unit);
              for (int i = 0; i < dim; ++i)
                ASSERT_EQ(int8_t(q[h * stride + i * adjacent]),
                          unit > 0 ? int(std::nearbyint(x[h * dim + i] *
                                                        (1.0f / unit)))
                                   : 0)
                    << "head " << h << " element " << i;
            }
            for (size_t i = 0; i < q.size(); ++i)
              if (i % stride % adjacent || i % stride >= size_t(dim * adjacent))
                ASSERT_EQ(q[i], 0xee);
            for (size_t i = 0; i < scale.size(); ++i)
              if (i % (stride / 4))
                ASSERT_EQ(scale[i], untouched);
          }};
}

class QuantizeTest : public IsaTest {};

TEST_P(QuantizeTest, Heads) {
  run({headsCase(64, 8, 16), headsCase(64, 8, 1), headsCase(128, 1, 1),
       headsCase(24, 3, 16), headsCase(72, 2, 1), headsCase(5, 2, 16)});
}

TEST_P(QuantizeTest, Widths) {
  std::vector<Case> cases;
  for (int width : {32, 64, 96, 160, 1024, 2048})
    cases.push_back(
        quantizeCase(width, [](int, Random &random) { return random(); }));
  run(cases);
}

TEST_P(QuantizeTest, Vectors) {
  std::vector<Case> cases;
  for (int vector : {4, 8, 16})
    for (int group : {32, 128})
      cases.push_back(quantizeCase(
          512, [](int, Random &random) { return random(); }, group, vector));
  run(cases);
}

TEST_P(QuantizeTest, Groups) {
  std::vector<Case> cases;
  for (int group : {128, 256})
    for (int width : {256, 1536})
      cases.push_back(quantizeCase(
          width, [](int i, Random &random) { return random() * float(i + 1); },
          group));
  run(cases);
}

TEST_P(QuantizeTest, RaisedAndLimited) {
  std::vector<Case> cases;
  for (int group : {32, 256})
    cases.push_back(quantizeCase(
        512, [](int, Random &random) { return random(); }, group, 32, true));
  for (int vector : {8, 32}) {
    cases.push_back(quantizeCase(
        160, [](int, Random &random) { return random(); }, 32, vector, false,
        true));
    // Both of two are the largest.
    cases.push_back(quantizeCase(
        64, [](int i, Random &) { return i / 2 % 3 ? 0.3f : -2.5f; }, 32,
        vector, false, true));
  }
  run(cases);
}

TEST_P(QuantizeTest, ExtremeBlocks) {
  run({quantizeCase(64, [](int, Random &) { return 0.0f; }),
       quantizeCase(64, [](int, Random &) { return -0.0f; }),
       // One value in a block: 127 or -127, never beyond.
       quantizeCase(96, [](int i, Random &) { return i == 40 ? -3.7f : 0; }),
       // Half-way values go to even.
       quantizeCase(32, [](int i, Random &) { return i ? i - 15.5f : 127.0f; }),
       quantizeCase(64, [](int, Random &r) { return r() * 1e38f; }),
       quantizeCase(64, [](int, Random &r) { return r() * 1e-35f; }),
       quantizeCase(64,
                    [](int i, Random &r) {
                      return i < 32 ? r() * 1e-37f : r() * 1e-42f;
                    }),
       // Scales of very different sizes.
       quantizeCase(128, [](int i, Random &r) {
         return r() * std::pow(10.0f, float(i / 32) * 8 - 12);
       })});
}

// rms_norm_quantize must have the bits of rms_norm followed by quantize.
TEST_P(QuantizeTest, NormThenQuantize) {
  std::vector<Case> cases;
  for (int width : {32, 96, 1024, 2048}) {
    auto x = std::make_shared<Buffer<float>>(width);
    auto g = std::make_shared<Buffer<float>>(width);
    auto normed = std::make_shared<Buffer<float>>(width);
    Random random(width);
    random.fill(*x);
    random.fill(*g);
    cases.push_back({{"rms_norm", {{"width", width}}, {{"eps", 1e-5}}},
                     [=](const Kernel &kernel) {
                       kernel({x->data(), g->data(), normed->data()});
                     }});
    cases.push_back(
        {{"rms_norm_quantize", {{"width", width}}, {{"eps", 1e-5}}},
         [=](const Kernel &kernel) {
           Row row(width);
           kernel({x->data(), g->data(), row.q(), row.scale(), row.sum()});
           compare(row, normed->data());
         }});
  }
  run(cases);
}

LFMC_FOR_EACH_ISA(QuantizeTest);

} // namespace
} // namespace lfmc::halide::test
