// SPDX-License-Identifier: Apache-2.0
//
// linear_q by vpdpbusd: vectors of rows times one broadcast group of four
// columns of a token. Two vectors of rows share each broadcast, so that loads
// do not bound the tile; the integer sums of all rows and tokens stay in
// registers over a block of 32 columns, the f32 sums wait on the stack between
// blocks (docs/kernels.md).
#include "codegen/llvm/micro/LinearQ.h"

#include "llvm/IR/IntrinsicsX86.h"

using namespace llvm;

namespace lfmc {
namespace {

class DotTile {
public:
  DotTile(LinearQ &kernel, int64_t lanes)
      : q(kernel), layout(kernel.layout), w(*kernel.writer), b(w.b),
        lanes(lanes), vectors(q.shape.tileRows / lanes),
        // vpdpbusd wants unsigned codes.
        offset(layout.isQ8() ? 128 : layout.offset()) {}
  void build();

private:
  void block(Value *weights, Value *low, Value *top, Value *index,
             int64_t firstRow);
  void panelRows(Value *first, int64_t firstRow);
  Value *perToken(Value *first, int64_t token) {
    return w.at(first, token * q.shape.xStride);
  }

  Value *sums(int64_t token, int64_t row) {
    return w.at(sumMemory, (token * layout.rows + row) * 4);
  }

  LinearQ &q;
  const halide::QuantizedLayout &layout;
  MicroWriter &w;
  IRBuilder<> &b;
  const int64_t lanes, vectors, offset;
  Value *sumMemory;
};

/// Adds activation block `index` to the sums of a tile's rows.
void DotTile::block(Value *weights, Value *low, Value *top, Value *index,
                    int64_t firstRow) {
  Type *integers = w.vector(b.getInt32Ty(), lanes);
  const int64_t tokens = q.shape.tokens;
  Value *xq = w.at(q.xq, index, 32), *xs = w.at(q.xs, index, 4);
  Value *xsum = w.at(q.xsum, index, 4);
  auto broadcast = [&](Value *pointer) {
    return b.CreateVectorSplat(lanes, w.load(b.getInt32Ty(), pointer));
  };

  Values products(tokens * vectors, Constant::getNullValue(integers));
  if (offset)
    for (int64_t t = 0; t < tokens; ++t) {
      // The sums of 32 codes fit 16 bits: one instruction, where a product of
      // equal elements would be computed as a scalar and broadcast.
      Value *start = w.intrinsic(
          lanes == 16 ? Intrinsic::x86_avx512_pmaddw_d_512
                      : Intrinsic::x86_avx2_pmadd_wd,
          {broadcast(perToken(xsum, t)), w.all(integers, 0x10000 - offset)});
      for (int64_t v = 0; v < vectors; ++v)
        products[t * vectors + v] = start;
    }
  const Intrinsic::ID dot = lanes == 16 ? Intrinsic::x86_avx512_vpdpbusd_512
                                        : Intrinsic::x86_avx512_vpdpbusd_256;
  for (int group = 0; group < 8; ++group) {
    Values codes;
    for (int64_t v = 0; v < vectors; ++v) {
      Value *value =
          q.codes(low, top, group, (firstRow + v * lanes) * 4, lanes * 4);
      if (layout.isQ8())
        value = b.CreateXor(value, w.all(value->getType(), -128));
      codes.push_back(value);
    }
    for (int64_t t = 0; t < tokens; ++t) {
      Value *x = broadcast(w.at(perToken(xq, t), group * 4));
      for (int64_t v = 0; v < vectors; ++v) {
        Value *&sum = products[t * vectors + v];
        sum = w.intrinsic(dot, {sum, codes[v], x});
      }
    }
  }

  Values scales, minima;
  for (int64_t v = 0; v < vectors; ++v) {
    const int64_t row = firstRow + v * lanes;
    scales.push_back(q.halves(w.at(weights, row * 2), lanes));
    if (layout.hasMinimum())
      minima.push_back(q.halves(w.at(weights, (layout.rows + row) * 2), lanes));
  }
  Type *floats = w.vector(w.f32(), lanes);
  for (int64_t t = 0; t < tokens; ++t) {
    Value *scale = q.broadcast(perToken(xs, t), lanes);
    Value *total = nullptr;
    if (layout.hasMinimum())
      total = b.CreateFMul(b.CreateSIToFP(broadcast(perToken(xsum, t)), floats),
                           scale);
    for (int64_t v = 0; v < vectors; ++v) {
      Value *memory = sums(t, firstRow + v * lanes),
            *sum = w.load(floats, memory);
      Value *product = b.CreateSIToFP(products[t * vectors + v], floats);
      sum = q.accumulate(sum, b.CreateFMul(product, scale), scales[v]);
      if (total)
        sum = q.accumulate(sum, total, minima[v]);
      w.store(sum, memory);
    }
  }
}

/// Rows [firstRow, firstRow + tile_rows) of the panel at `first`.
void DotTile::panelRows(Value *first, int64_t firstRow) {
  const int64_t perBlock = q.perBlock();
  w.loop(layout.k / layout.block, [&](Value *index) {
    Value *weights = w.at(first, index, layout.blockBytes());
    if (q.shape.prefetch && firstRow == 0)
      for (int64_t line = 0; line < layout.blockBytes(); line += 64)
        w.prefetch(w.at(weights, line + q.shape.prefetch));
    w.loop(perBlock, [&](Value *part) {
      Value *low = w.at(w.at(weights, layout.codesStart()), part, q.lowBytes());
      Value *top = w.at(w.at(weights, layout.topStart()), part, q.topBytes());
      Value *at = b.CreateAdd(b.CreateMul(index, b.getInt64(perBlock)), part);
      block(weights, low, top, at, firstRow);
    });
  });
}

void DotTile::build() {
  const halide::LinearQShape &shape = q.shape;
  const int64_t sumBytes = layout.rows * 4;
  Type *rows = w.vector(w.f32(), layout.rows);
  sumMemory = w.stack(shape.tokens * sumBytes);
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    for (int64_t t = 0; t < shape.tokens; ++t)
      w.store(Constant::getNullValue(rows), sums(t, 0));
    for (int64_t row = 0; row < layout.rows; row += shape.tileRows)
      panelRows(first, row);
    for (int64_t t = 0; t < shape.tokens; ++t)
      q.finish(w.load(rows, sums(t, 0)), panel,
               q.res ? w.at(q.res, t * shape.resStride * 4) : nullptr,
               w.at(q.y, t * shape.yStride * 4));
  });
}

} // namespace

void buildDotTile(LinearQ &kernel, int64_t lanes) {
  DotTile(kernel, lanes).build();
}

} // namespace lfmc
