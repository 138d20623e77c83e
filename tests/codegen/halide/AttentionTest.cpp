// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

#include <cmath>
#include <limits>

namespace lfmc::halide::test {
namespace {

enum { F32 = 0, F16 = 2, Q8 = 3 };

struct Attention {
  int dim, group, tokens, block, lanes = 16;
  int kvtype = F32;
  int window = 0, qPad = 0;
  int registers = 0; // bound of the tiles; 0: those that there are

  int elementBytes() const { return kvtype == F32 ? 4 : kvtype == F16 ? 2 : 1; }
};

const double scale = 0.25;

MicroKernel blockKernel(const Attention &s) {
  MicroKernel kernel{"attention_block",
                     {{"dim", s.dim},
                      {"group", s.group},
                      {"tokens", s.tokens},
                      {"block", s.block},
                      {"lanes", s.lanes},
                      {"q_stride", s.group * s.dim + s.qPad},
                      {"kvtype", s.kvtype},
                      {"window", s.window}},
                     {}};
  kernel.doubles["scale"] = scale;
  if (s.registers) {
    kernel.ints["score_registers"] = s.registers;
    kernel.ints["sum_registers"] = s.registers * 2;
  }
  return kernel;
}

// Keys and values of `blocks` blocks: as stored, and their exact values
// [position][dim]. Positions from `known` on hold NaN and infinities.
struct Cache {
  Buffer<uint8_t> k, v;
  Buffer<float> kScale, vScale; // of each position, if quantized
  std::vector<float> keys, values;
  size_t blockBytes;

  Cache(const Attention &s, int blocks, int known, Random &random)
      : k(size_t(blocks) * s.block * s.dim * s.elementBytes()), v(k.size()),
        kScale(blocks * s.block), vScale(kScale.size()),
        keys(size_t(blocks) * s.block * s.dim), values(keys.size()),
        blockBytes(size_t(s.block) * s.dim * s.elementBytes()) {
    for (int j = 0; j < blocks * s.block; ++j) {
      kScale[j] = j < known ? 0.005f * (2 + random()) : std::nanf("");
      vScale[j] = j < known ? 0.0026f * (2 + random())
                            : std::numeric_limits<float>::infinity();
      for (int d = 0; d < s.dim; ++d) {
        float key = 2 * random(), value = random();
        if (j >= known) {
          key = j % 2 ? std::nanf("") : std::numeric_limits<float>::infinity();
          value =
              j % 2 ? -std::numeric_limits<float>::infinity() : std::nanf("");
        }
        size_t kAt = (size_t(j / s.lanes) * s.dim + d) * s.lanes + j % s.lanes;
        size_t vAt = size_t(j) * s.dim + d;
        if (s.kvtype == Q8) {
          int8_t code = int8_t(127 * random()), other = int8_t(127 * random());
          k[kAt] = uint8_t(code), v[vAt] = uint8_t(other);
          keys[vAt] = kScale[j] * code, values[vAt] = vScale[j] * other;
          continue;
        }
        keys[vAt] = store(s, k, kAt, key);
        values[vAt] = store(s, v, vAt, value);
      }
    }
  }

private:
  static float store(const Attention &s, const Buffer<uint8_t> &to, size_t at,
                     float value) {
    if (s.kvtype == F32) {
      std::memcpy(to.data() + at * 4, &value, 4);
      return value;
    }
    uint16_t bits = toF16(value);
    std::memcpy(to.data() + at * 2, &bits, 2);
    return fromF16(bits);
  }
};

// m, l, acc of one side of the ping-pong.
struct State {
  Buffer<float> m, l, acc;
  State(const Attention &s, float lowest)
      : m(s.group * s.tokens, lowest), l(m.size(), 0.0f),
        acc(m.size() * s.dim, 0.0f) {}
};

// Runs the blocks over `context` + tokens positions, the first token being at
// position `context`, and compares with the plain softmax.
void checkBlocks(const Kernel &kernel, const Attention &s, int context,
                 float lowest) {
  SCOPED_TRACE(::testing::Message() << "context " << context);
  Random random(context + s.dim + s.group);
  const int blocks = (context + s.tokens + s.block - 1) / s.block + 1;
  Cache cache(s, blocks, context + s.tokens, random);
  const int qStride = s.group * s.dim + s.qPad, rows = s.group * s.tokens;
  Buffer<float> q(size_t(s.tokens - 1) * qStride + s.group * s.dim);
  random.fill(q);
  State first(s, lowest), second(s, untouched);
  State *in = &first, *out = &second;
  // The last block lies beyond every query: it must change nothing.
  for (int b = 0; b < blocks; ++b) {
    int limit = context + 1 - b * s.block;
    std::vector<void *> args = {q.data(), cache.k.data() + b * cache.blockBytes,
                                cache.v.data() + b * cache.blockBytes};
    if (s.kvtype == Q8)
      args.insert(args.end(), {cache.kScale.data() + b * s.block,
                               cache.vScale.data() + b * s.block});
    args.insert(args.end(), {in->m.data(), in->l.data(), in->acc.data(),
                             out->m.data(), out->l.data(), out->acc.data()});
    kernel(args, {limit});
    if (b + 1 == blocks) {
      for (int r = 0; r < rows; ++r) {
        ASSERT_EQ(in->m[r], out->m[r]);
        ASSERT_EQ(in->l[r], out->l[r]);
      }
      for (size_t i = 0; i < in->acc.size(); ++i)
        ASSERT_EQ(in->acc[i], out->acc[i]);
    }
    std::swap(in, out);
  }
  for (int t = 0; t < s.tokens; ++t)
    for (int g = 0; g < s.group; ++g) {
      const float *query = q.data() + size_t(t) * qStride + g * s.dim;
      const int end = context + t + 1;
      const int begin = s.window ? std::max(0, end - s.window) : 0;
      std::vector<double> scores, sum(s.dim);
      double top = -1e300, mass = 0;
      for (int j = begin; j < end; ++j) {
        double score = 0;
        for (int d = 0; d < s.dim; ++d)
          score += double(query[d]) * cache.keys[size_t(j) * s.dim + d];
        scores.push_back(score * scale);
        top = std::max(top, score * scale);
      }
      for (int j = begin; j < end; ++j) {
        double weight = std::exp(scores[j - begin] - top);
        mass += weight;
        for (int d = 0; d < s.dim; ++d)
          sum[d] += weight * cache.values[size_t(j) * s.dim + d];
      }
      const int r = t * s.group + g;
      ASSERT_NEAR(in->m[r], top, 1e-5);
      ASSERT_NEAR(in->l[r] / mass, 1, 1e-5);
      for (int d = 0; d < s.dim; ++d)
        ASSERT_NEAR(in->acc[size_t(r) * s.dim + d] / in->l[r], sum[d] / mass,
                    4e-6)
            << "row " << r << " dim " << d;
    }
}

Case blockCase(const Attention &s) {
  return {blockKernel(s), [s](const Kernel &kernel) {
            for (int context : {0, 1, s.block - s.tokens, s.block - 1, s.block,
                                2 * s.block + 5})
              if (context >= 0)
                checkBlocks(kernel, s, context,
                            context % 2
                                ? -std::numeric_limits<float>::infinity()
                                : -1e30f);
          }};
}

class AttentionTest : public IsaTest {};

TEST_P(AttentionTest, DimsAndGroups) {
  std::vector<Case> cases;
  for (int kvtype : {F32, F16, Q8})
    for (int dim : {32, 64, 72, 128})
      for (int group : {1, 4})
        cases.push_back(blockCase({.dim = dim,
                                   .group = group,
                                   .tokens = 1,
                                   .block = 32,
                                   .kvtype = kvtype}));
  run(cases);
}

TEST_P(AttentionTest, Tokens) {
  std::vector<Case> cases;
  for (int tokens : {2, 3, 4, 5, 8, 12})
    for (int group : {2, 3})
      cases.push_back(blockCase({.dim = 64,
                                 .group = group,
                                 .tokens = tokens,
                                 .block = 48,
                                 .kvtype = tokens % 3 == 0   ? Q8
                                           : tokens % 2 == 0 ? F16
                                                             : F32,
                                 .qPad = 8}));
  run(cases);
}

TEST_P(AttentionTest, Tiles) {
  std::vector<Case> cases;
  for (int registers : {2, 8, 24})
    cases.push_back(blockCase({.dim = 64,
                               .group = 4,
                               .tokens = 4,
                               .block = 64,
                               .kvtype = registers == 8 ? Q8 : F16,
                               .registers = registers}));
  run(cases);
}

TEST_P(AttentionTest, LanesAndBlocks) {
  run({blockCase({.dim = 64, .group = 4, .tokens = 4, .block = 16}),
       blockCase({.dim = 64, .group = 4, .tokens = 4, .block = 128}),
       blockCase({.dim = 32, .group = 2, .tokens = 2, .block = 24, .lanes = 8}),
       blockCase({.dim = 30, .group = 1, .tokens = 3, .block = 12, .lanes = 4}),
       blockCase({.dim = 8, .group = 1, .tokens = 1, .block = 5, .lanes = 1})});
}

TEST_P(AttentionTest, Window) {
  std::vector<Case> cases;
  for (int window : {1, 7, 32, 40})
    for (int tokens : {1, 4})
      cases.push_back(blockCase({.dim = 32,
                                 .group = 2,
                                 .tokens = tokens,
                                 .block = 32,
                                 .kvtype = window == 7 ? Q8 : F16,
                                 .window = window}));
  run(cases);
}

TEST_P(AttentionTest, CombinesPieces) {
  std::vector<Case> cases;
  for (int dim : {64, 72, 5})
    for (int group : {1, 4}) {
      const int stride = group * (dim + 2) + 7, most = 9;
      MicroKernel kernel{"attention_combine",
                         {{"dim", dim},
                          {"group", group},
                          {"max_pieces", most},
                          {"stride", stride}},
                         {}};
      cases.push_back(
          {kernel, [=](const Kernel &kernel) {
             for (int pieces : {1, 2, most}) {
               Random random(dim + pieces);
               const size_t last = size_t(pieces - 1) * stride;
               Buffer<float> m(last + group), l(m.size()),
                   acc(last + group * dim);
               Buffer<float> y(group * dim, untouched);
               random.fill(acc);
               for (size_t i = 0; i < m.size(); ++i)
                 m[i] = 40 * random(), l[i] = 1.5f + random();
               if (pieces == most) // the last sees nothing
                 for (int g = 0; g < group; ++g) {
                   m[last + g] = -1e30f, l[last + g] = 0;
                   for (int d = 0; d < dim; ++d)
                     acc[last + g * dim + d] = 0;
                 }
               kernel({m.data(), l.data(), acc.data(), y.data()}, {pieces});
               for (int g = 0; g < group; ++g)
                 for (int d = 0; d < dim; ++d) {
                   double top = -1e300, mass = 0, sum = 0;
                   for (int p = 0; p < pieces; ++p)
                     top = std::max(top, double(m[p * stride + g]));
                   for (int p = 0; p < pieces; ++p) {
                     double share = std::exp(m[p * stride + g] - top);
                     mass += share * l[p * stride + g];
                     sum += share * acc[p * stride + g * dim + d];
                   }
                   ASSERT_NEAR(y[g * dim + d], sum / mass, 3e-6)
                       << "pieces " << pieces << " head " << g << " dim " << d;
                 }
             }
           }});
    }
  run(cases);
}

TEST_P(AttentionTest, Finish) {
  std::vector<Case> cases;
  for (int dim : {32, 72, 128, 5})
    for (int tokens : {1, 3}) {
      const int group = 3, stride = group * dim + 11;
      MicroKernel kernel{"attention_finish",
                         {{"dim", dim},
                          {"group", group},
                          {"tokens", tokens},
                          {"y_stride", stride}},
                         {}};
      cases.push_back(
          {kernel, [=](const Kernel &kernel) {
             Random random(dim);
             Buffer<float> l(group * tokens), acc(size_t(group) * tokens * dim);
             Buffer<float> y(size_t(tokens - 1) * stride + group * dim,
                             untouched);
             random.fill(acc);
             for (float &value : l)
               value = 1.5f + random();
             kernel({l.data(), acc.data(), y.data()});
             for (int t = 0; t < tokens; ++t)
               for (int i = 0; i < stride && size_t(t) * stride + i < y.size();
                    ++i) {
                 float found = y[size_t(t) * stride + i];
                 if (i < group * dim)
                   ASSERT_EQ(found, acc[size_t(t) * group * dim + i] /
                                        l[t * group + i / dim]);
                 else
                   ASSERT_EQ(found, untouched);
               }
           }});
    }
  run(cases);
}

LFMC_FOR_EACH_ISA(AttentionTest);

} // namespace
} // namespace lfmc::halide::test
