// SPDX-License-Identifier: Apache-2.0
//
// The family wide_panel: rewrites columns of a panel of q4 weights for many
// tokens (WideTile.cpp). A group of columns takes the largest of its blocks'
// scales, divided by 15: the codes of that block are kept exactly, those of the
// others are off by at most half of the new unit, 1/30 of a step of the largest
// block.
//
// Two bytes hold codes of two columns; one multiplication and addition in 16
// bits makes 256 * (128 + value) + 128 of each, whose high byte is the new
// code.
#include "codegen/llvm/micro/LinearQ.h"

using namespace llvm;

namespace lfmc {

WideUnit wideUnit(MicroWriter &w, ArrayRef<Value *> scales) {
  IRBuilder<> &b = w.b;
  Value *largest = nullptr;
  for (Value *scale : scales) {
    Value *size = b.CreateUnaryIntrinsic(Intrinsic::fabs, scale);
    largest =
        largest ? b.CreateSelect(b.CreateFCmpOGT(size, largest), size, largest)
                : size;
  }
  Type *type = largest->getType();
  Value *zero = w.all(type, 0);
  return {
      b.CreateFMul(largest, w.all(type, 1 / wideCodesPerStep)),
      b.CreateSelect(b.CreateFCmpOGT(largest, zero),
                     b.CreateFDiv(w.all(type, 256 * wideCodesPerStep), largest),
                     zero)};
}

Value *wideFactor(MicroWriter &w, Value *scale, Value *inverse) {
  // Adding 1.5 * 2^23 rounds and leaves the integer in the low bits.
  Value *ratio = w.b.CreateFAdd(w.b.CreateFMul(scale, inverse),
                                w.all(scale->getType(), 12582912.0));
  return w.b.CreateBitCast(ratio,
                           scale->getType()->getWithNewType(w.b.getInt32Ty()));
}

void checkWide(const halide::Params &params,
               const halide::QuantizedLayout &layout, int64_t group) {
  if (layout.wtype != 4)
    params.fail("parameter 'group' wants weights of q4");
  if (group % layout.block || layout.k % group)
    params.fail("parameter 'group' must be a multiple of 'block' and divide "
                "'k'");
}

namespace {

class WidePanel {
public:
  WidePanel(MicroWriter &writer, const halide::QuantizedLayout &layout,
            int64_t group, int64_t lanes)
      : w(writer), b(w.b), layout(layout), columns(group), lanes(lanes),
        integers(w.vector(b.getInt32Ty(), lanes)),
        halves(w.vector(b.getInt16Ty(), lanes * 2)),
        floats(w.vector(w.f32(), lanes)) {}
  void build();

private:
  void group(Value *weights, Value *to, int64_t firstRow);
  void block(Value *weights, Value *to, Value *inverse, int64_t firstRow);
  Value *scale(Value *weights, int64_t firstRow) {
    Value *pointer = w.at(weights, firstRow * 2);
    return b.CreateFPExt(w.load(w.vector(b.getHalfTy(), lanes), pointer),
                         floats);
  }
  /// The low 16 bits of every element, twice.
  Value *twice(Value *value) {
    Value *low = b.CreateAnd(value, w.all(integers, 0xffff));
    return b.CreateBitCast(
        b.CreateOr(low, b.CreateShl(value, w.all(integers, 16))), halves);
  }

  MicroWriter &w;
  IRBuilder<> &b;
  const halide::QuantizedLayout &layout;
  const int64_t columns, lanes;
  Type *integers, *halves, *floats;
};

void WidePanel::block(Value *weights, Value *to, Value *inverse,
                      int64_t firstRow) {
  Value *factor = twice(wideFactor(w, scale(weights, firstRow), inverse));
  // 128, less the offset of 8 times the factor, and a half.
  Value *start = b.CreateSub(w.all(halves, 0x8080 - 0x10000),
                             b.CreateShl(factor, w.all(halves, 3)));
  Value *codes = w.at(weights, layout.codesStart() + firstRow * 4);
  auto scaled = [&](Value *code) {
    return b.CreateAdd(b.CreateMul(code, factor), start);
  };
  for (int64_t pair = 0; pair < layout.block / 8; ++pair) {
    Value *bytes = w.load(halves, w.at(codes, pair * int64_t(layout.rows) * 4));
    for (int nibble : {0, 1}) {
      auto shifted = [&](int bits) {
        return bits ? b.CreateLShr(bytes, w.all(halves, bits)) : bytes;
      };
      Value *mask = w.all(halves, 15);
      Value *even = scaled(b.CreateAnd(shifted(4 * nibble), mask));
      Value *odd = shifted(8 + 4 * nibble);
      odd = scaled(nibble ? odd : b.CreateAnd(odd, mask));
      Value *both =
          b.CreateOr(b.CreateLShr(even, w.all(halves, 8)),
                     b.CreateAnd(odd, w.all(halves, 0xff00 - 0x10000)));
      w.store(both,
              w.at(to, ((pair * 2 + nibble) * layout.rows + firstRow) * 4));
    }
  }
}

void WidePanel::group(Value *weights, Value *to, int64_t firstRow) {
  Values scales;
  for (int64_t i = 0; i < columns / layout.block; ++i)
    scales.push_back(scale(w.at(weights, i * layout.blockBytes()), firstRow));
  const WideUnit unit = wideUnit(w, scales);
  w.store(unit.unit, w.at(to, layout.rows * columns + firstRow * 4));
  w.loop(columns / layout.block, [&](Value *index) {
    block(w.at(weights, index, layout.blockBytes()),
          w.at(to, index, int64_t(layout.rows) * layout.block), unit.inverse,
          firstRow);
  });
}

void WidePanel::build() {
  Value *from = w.hosts()[0], *to = w.hosts()[1];
  w.loop(layout.k / columns, [&](Value *index) {
    const int64_t bytes = columns / layout.block * layout.blockBytes();
    for (int64_t row = 0; row < layout.rows; row += lanes)
      group(w.at(from, index, bytes),
            w.at(to, index, widePanelBytes(layout.rows, columns, false)), row);
  });
}

} // namespace

void buildWidePanel(Module &module, StringRef symbol,
                    const halide::Params &params, int64_t lanes, bool narrow) {
  const halide::QuantizedLayout layout(params, "k", false);
  const int group = params.size("group");
  params.integer("lanes", lanes, 8, 16);
  params.checkAllRead();
  checkWide(params, layout, group);
  if (!lanes || layout.rows % lanes)
    params.fail("parameter 'rows' wants whole vectors");
  MicroWriter writer(module, symbol, 2);
  if (narrow)
    writer.limitVectors(lanes * 32);
  WidePanel(writer, layout, group, lanes).build();
  writer.finish();
}

} // namespace lfmc
