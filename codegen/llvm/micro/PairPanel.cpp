// SPDX-License-Identifier: Apache-2.0
//
// The family wide_panel with "pairs": rewrites columns of a panel of q4 weights
// for products in 16 bits (PairTile.cpp). Codes are kept exactly, one in a
// byte; a block's scale becomes an integer, the largest of its group 8192, so
// that it is off by at most half of 1/8192 of that one. Sums of a group fit 32
// bits: 256 * 8 * 127 * 8192 < 2^31.
//
// Activations come raised by 128. What that adds to a row's sum, 128 times the
// sum of its codes times factors, is subtracted from where the sum starts; it
// may wrap around, as the sum may on its way.
//
// Without a "group" blocks keep their scales, and codes of every format become
// unsigned bytes (PairBlocks.cpp).
#include "codegen/llvm/micro/LinearQ.h"

#include "llvm/IR/IntrinsicsX86.h"

using namespace llvm;

namespace lfmc {

using halide::activationBlock;

namespace {

constexpr float largestFactor = 8192;

class PairPanel {
public:
  PairPanel(MicroWriter &writer, const halide::QuantizedLayout &layout,
            int64_t group, int64_t lanes)
      : w(writer), b(w.b), layout(layout), columns(group), lanes(lanes),
        integers(w.vector(b.getInt32Ty(), lanes)),
        bytes(w.vector(b.getInt8Ty(), lanes * 4)),
        floats(w.vector(w.f32(), lanes)) {}
  void build();

private:
  void group(Value *weights, Value *to, int64_t firstRow);
  Value *part(Value *from, Value *to);
  Value *scale(Value *weights, int64_t firstRow) {
    Value *pointer = w.at(weights, firstRow * 2);
    return b.CreateFPExt(w.load(w.vector(b.getHalfTy(), lanes), pointer),
                         floats);
  }
  /// Sums of pairs: of bytes, unsigned times signed, and of words.
  Value *pairs(Value *x, Value *y) {
    return w.intrinsic(lanes == 16  ? Intrinsic::x86_avx512_pmaddubs_w_512
                       : lanes == 8 ? Intrinsic::x86_avx2_pmadd_ub_sw
                                    : Intrinsic::x86_ssse3_pmadd_ub_sw_128,
                       {x, y});
  }
  Value *words(Value *x, Value *y) {
    return w.intrinsic(lanes == 16  ? Intrinsic::x86_avx512_pmaddw_d_512
                       : lanes == 8 ? Intrinsic::x86_avx2_pmadd_wd
                                    : Intrinsic::x86_sse2_pmadd_wd,
                       {x, y});
  }

  MicroWriter &w;
  IRBuilder<> &b;
  const halide::QuantizedLayout &layout;
  const int64_t columns, lanes;
  Type *integers, *bytes, *floats;
};

/// Unpacks 32 columns; their sums in pairs of 16 bits.
Value *PairPanel::part(Value *from, Value *to) {
  Value *total = nullptr;
  for (int64_t pair = 0; pair < activationBlock / 8; ++pair) {
    const int64_t step = int64_t(layout.rows) * 4;
    Value *stored = w.load(bytes, w.at(from, pair * step));
    for (int nibble : {0, 1}) {
      Value *code = stored;
      if (nibble) { // vectors shift 16 bits at least
        Type *halves = w.vector(b.getInt16Ty(), lanes * 2);
        code = b.CreateBitCast(code, halves);
        code = b.CreateBitCast(b.CreateLShr(code, w.all(halves, 4)), bytes);
      }
      code = b.CreateSub(b.CreateAnd(code, w.all(bytes, 15)),
                         w.all(bytes, layout.offset()));
      w.store(code, w.at(to, (pair * 2 + nibble) * step));
      Value *sum = pairs(w.all(bytes, 1), code);
      total = total ? b.CreateAdd(total, sum) : sum;
    }
  }
  return total;
}

void PairPanel::group(Value *weights, Value *to, int64_t firstRow) {
  const int64_t blocks = columns / layout.block;
  const int64_t parts = layout.block / activationBlock;
  Value *largest = nullptr;
  for (int64_t i = 0; i < blocks; ++i) {
    Value *size = b.CreateUnaryIntrinsic(
        Intrinsic::fabs,
        scale(w.at(weights, i * layout.blockBytes()), firstRow));
    largest =
        largest ? b.CreateSelect(b.CreateFCmpOGT(size, largest), size, largest)
                : size;
  }
  Value *inverse = b.CreateSelect(
      b.CreateFCmpOGT(largest, w.all(floats, 0)),
      b.CreateFDiv(w.all(floats, largestFactor), largest), w.all(floats, 0));
  Value *factors = w.at(to, layout.rows * columns + firstRow * 4);
  Value *scales = w.at(factors, layout.rows * (columns / 8));
  w.store(b.CreateFMul(largest, w.all(floats, 1 / largestFactor)), scales);
  Values sums = w.loop(
      w.index(0), w.index(blocks), 1, {Constant::getNullValue(integers)},
      [&](Value *block, Values sums) {
        Value *from = w.at(weights, block, layout.blockBytes());
        Value *codes = w.at(from, layout.codesStart() + firstRow * 4);
        Value *factor = wideFactor(w, scale(from, firstRow), inverse);
        factor = b.CreateOr(b.CreateAnd(factor, w.all(integers, 0xffff)),
                            b.CreateShl(factor, w.all(integers, 16)));
        for (int64_t i = 0; i < parts; ++i) {
          Value *number =
              b.CreateAdd(b.CreateMul(block, w.index(parts)), w.index(i));
          w.store(factor, w.at(factors, number, int64_t(layout.rows) * 4));
          Value *total =
              part(w.at(codes, i * int64_t(layout.rows) * activationBlock / 2),
                   w.at(w.at(to, firstRow * 4), number,
                        int64_t(layout.rows) * activationBlock));
          sums[0] = b.CreateAdd(sums[0], words(total, factor));
        }
        return sums;
      });
  w.store(b.CreateNeg(b.CreateShl(sums[0], w.all(integers, 7))),
          w.at(scales, int64_t(layout.rows) * 4));
}

void PairPanel::build() {
  Value *from = w.hosts()[0], *to = w.hosts()[1];
  w.loop(layout.k / columns, [&](Value *index) {
    const int64_t bytes = columns / layout.block * layout.blockBytes();
    for (int64_t row = 0; row < layout.rows; row += lanes)
      group(w.at(from, index, bytes),
            w.at(to, index, widePanelBytes(layout.rows, columns, true)), row);
  });
}

/// Blocks of 32 columns, which keep their scales.
void buildBlocks(MicroWriter &w, const halide::QuantizedLayout &layout,
                 int64_t lanes) {
  IRBuilder<> &b = w.b;
  const int64_t rows = layout.rows, perBlock = layout.block / activationBlock;
  Type *halves = w.vector(b.getHalfTy(), lanes);
  Type *floats = w.vector(w.f32(), lanes);
  w.loop(layout.k / layout.block, [&](Value *block) {
    Value *from = w.at(w.hosts()[0], block, layout.blockBytes());
    w.loop(perBlock, [&](Value *part) {
      Value *index = b.CreateAdd(b.CreateMul(block, w.index(perBlock)), part);
      Value *to =
          w.at(w.hosts()[1], index, pairBlockBytes(rows, layout.hasMinimum()));
      Value *low =
          w.at(w.at(from, layout.codesStart()), part, layout.lowBytes());
      Value *top = w.at(w.at(from, layout.topStart()), part, layout.topBytes());
      for (int64_t row = 0; row < rows; row += lanes) {
        for (int step = 0; step < activationBlock / 4; ++step) {
          Value *codes =
              unpackCodes(w, layout, low, top, step, row * 4, lanes * 4);
          if (layout.isQ8())
            codes = b.CreateXor(codes, w.all(codes->getType(), -128));
          w.store(codes, w.at(to, (step * rows + row) * 4));
        }
        for (int64_t kind = 0; kind <= int64_t(layout.hasMinimum()); ++kind) {
          Value *values = w.load(halves, w.at(from, (kind * rows + row) * 2));
          w.store(b.CreateFPExt(values, floats),
                  w.at(to, rows * (activationBlock + kind * 4) + row * 4));
        }
      }
    });
  });
}

} // namespace

void buildPairPanel(Module &module, StringRef symbol,
                    const halide::Params &params, int64_t lanes) {
  const halide::QuantizedLayout layout(params, "k", false);
  const int group = params.integer("group", 0, 0, mostPairColumns);
  if (!params.flag("pairs") || !lanes || layout.rows % lanes)
    params.fail("parameter 'pairs' wants x86 with AVX2 and whole vectors of "
                "rows");
  params.checkAllRead();
  if (group)
    checkWide(params, layout, group);
  MicroWriter writer(module, symbol, 2);
  if (group)
    PairPanel(writer, layout, group, lanes).build();
  else
    buildBlocks(writer, layout, lanes);
  writer.finish();
}

} // namespace lfmc
