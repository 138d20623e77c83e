// SPDX-License-Identifier: Apache-2.0
//
// linear_q of many tokens by vpdpbusd on weights that wide_panel has rewritten:
// one scale for `group` columns of weights as of activations. Nothing but
// products happens between two groups; the integer sums of all rows and tokens
// stay in registers, the f32 sums wait on the stack (docs/kernels.md).
//
// A panel of `rows` rows is, group by group,
//   codes   u8 [group / 4][rows][4]; a code is 128 + its value
//   scales  f32 [rows]
#include "codegen/llvm/micro/LinearQ.h"

#include "llvm/IR/IntrinsicsX86.h"

using namespace llvm;

namespace lfmc {
namespace {

constexpr int64_t unroll = 8; // steps of four columns

class WideTile {
public:
  WideTile(LinearQ &kernel, int64_t lanes)
      : q(kernel), w(*kernel.writer), b(w.b), lanes(lanes),
        vectors(q.shape.tileRows / lanes), tokens(q.shape.tokens),
        rows(q.layout.rows) {}
  void build();

private:
  Values products(Value *codes, Value *index, int64_t firstRow);
  void group(Value *codes, Value *index, int64_t firstRow);
  Value *perToken(Value *first, int64_t token) {
    return w.at(first, token * q.shape.xStride);
  }
  Value *sums(int64_t token, int64_t row) {
    return w.at(sumMemory, (token * rows + row) * 4);
  }

  LinearQ &q;
  MicroWriter &w;
  IRBuilder<> &b;
  const int64_t lanes, vectors, tokens, rows;
  Value *sumMemory;
};

/// Sums of value times activation over group `index`.
Values WideTile::products(Value *codes, Value *index, int64_t firstRow) {
  const int64_t columns = q.shape.group;
  Type *integers = w.vector(b.getInt32Ty(), lanes);
  Type *bytes = w.vector(b.getInt8Ty(), lanes * 4);
  auto broadcast = [&](Value *pointer) {
    return b.CreateVectorSplat(lanes, w.load(b.getInt32Ty(), pointer));
  };
  Values start;
  Value *xsum = w.at(q.xsum, index, 4);
  for (int64_t t = 0; t < tokens; ++t) {
    Value *raised =
        b.CreateShl(broadcast(perToken(xsum, t)), w.all(integers, 7));
    start.append(vectors,
                 b.CreateSub(Constant::getNullValue(integers), raised));
  }
  const Intrinsic::ID dot = lanes == 16 ? Intrinsic::x86_avx512_vpdpbusd_512
                                        : Intrinsic::x86_avx512_vpdpbusd_256;
  Value *xq = w.at(q.xq, index, columns);
  return w.loop(
      w.index(0), w.index(columns / 4), unroll, start,
      [&](Value *step, Values sums) {
        Value *from = w.at(codes, step, rows * 4), *x = w.at(xq, step, 4);
        for (int64_t i = 0; i < unroll; ++i) {
          Values loaded;
          for (int64_t v = 0; v < vectors; ++v)
            loaded.push_back(w.load(
                bytes, w.at(from, (i * rows + firstRow + v * lanes) * 4)));
          for (int64_t t = 0; t < tokens; ++t) {
            Value *columns = broadcast(w.at(perToken(x, t), i * 4));
            for (int64_t v = 0; v < vectors; ++v) {
              Value *&sum = sums[t * vectors + v];
              sum = w.intrinsic(dot, {sum, loaded[v], columns});
            }
          }
        }
        return sums;
      });
}

void WideTile::group(Value *codes, Value *index, int64_t firstRow) {
  Values integers = products(codes, index, firstRow);
  Type *floats = w.vector(w.f32(), lanes);
  Values scales;
  for (int64_t v = 0; v < vectors; ++v)
    scales.push_back(
        w.load(floats,
               w.at(codes, rows * q.shape.group + (firstRow + v * lanes) * 4)));
  Value *xs = w.at(q.xs, index, 4);
  for (int64_t t = 0; t < tokens; ++t) {
    Value *scale = q.broadcast(perToken(xs, t), lanes);
    for (int64_t v = 0; v < vectors; ++v) {
      Value *memory = sums(t, firstRow + v * lanes);
      Value *product = b.CreateSIToFP(integers[t * vectors + v], floats);
      w.store(w.fma(b.CreateFMul(product, scale), scales[v],
                    w.load(floats, memory)),
              memory);
    }
  }
}

void WideTile::build() {
  Type *all = w.vector(w.f32(), rows);
  sumMemory = w.stack(tokens * rows * 4);
  if (q.res) // else waited for in the end
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t line = 0; line < rows * 4; line += 64)
        w.prefetch(w.at(q.res, t * q.shape.resStride * 4 + line));
  for (int64_t t = 0; t < tokens; ++t)
    w.store(Constant::getNullValue(all), sums(t, 0));
  for (int64_t row = 0; row < rows; row += q.shape.tileRows)
    w.loop(q.layout.k / q.shape.group, [&](Value *index) {
      group(w.at(q.weights, index, widePanelBytes(rows, q.shape.group, false)),
            index, row);
    });
  for (int64_t t = 0; t < tokens; ++t)
    q.finish(w.load(all, sums(t, 0)), w.index(0),
             q.res ? w.at(q.res, t * q.shape.resStride * 4) : nullptr,
             w.at(q.y, t * q.shape.yStride * 4));
}

} // namespace

void buildWideTile(LinearQ &kernel, int64_t lanes) {
  WideTile(kernel, lanes).build();
}

} // namespace lfmc
