// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/micro/LinearQ.h"

using namespace llvm;

namespace lfmc {

LinearQ::LinearQ(const halide::Params &params)
    : layout(params, "k", true), shape(params, layout) {
  params.checkAllRead();
}

void LinearQ::begin(Module &module, StringRef symbol, int64_t pointerBytes) {
  writer = std::make_unique<MicroWriter>(
      module, symbol, 5 + unsigned(shape.bias) + unsigned(shape.residual),
      pointerBytes);
  ArrayRef<Value *> hosts = writer->hosts();
  xq = hosts[0], xs = hosts[1], xsum = hosts[2], weights = hosts[3];
  bias = shape.bias ? hosts[4] : nullptr;
  res = shape.residual ? hosts[hosts.size() - 2] : nullptr;
  y = hosts.back();
}

Value *unpackCodes(MicroWriter &w, const halide::QuantizedLayout &layout,
                   Value *low, Value *top, int group, int64_t first,
                   int64_t bytes) {
  IRBuilder<> &b = w.b;
  Type *type = w.vector(b.getInt8Ty(), bytes);
  const int64_t step = int64_t(layout.rows) * 4;
  // Each time anew: kept from one group of columns to the next, the bytes take
  // registers that the sums need.
  auto load = [&](Value *pointer) {
    return b.CreateAlignedLoad(type, pointer, Align(1), /*isVolatile=*/true);
  };
  if (layout.isQ8())
    return load(w.at(low, group * step + first));
  auto bits = [&](Value *pointer, int shift, int mask) {
    Value *value = load(pointer);
    // Vector units shift 16 bits at least; what enters from above is masked.
    Type *wide = w.vector(b.getInt16Ty(), bytes / 2);
    value = b.CreateBitCast(value, wide);
    if (shift)
      value = b.CreateLShr(value, w.all(wide, shift));
    value = b.CreateBitCast(value, type);
    return b.CreateAnd(value, w.all(type, mask));
  };
  Value *value = bits(w.at(low, group / 2 * step + first), group % 2 * 4, 15);
  if (!layout.isQ6())
    return value;
  // The two bits, where they belong in the code.
  Type *wide = w.vector(b.getInt16Ty(), bytes / 2);
  Value *high =
      b.CreateBitCast(load(w.at(top, group / 4 * step + first)), wide);
  const int shift = 4 - group % 4 * 2;
  if (shift > 0)
    high = b.CreateShl(high, w.all(wide, shift));
  else if (shift < 0)
    high = b.CreateLShr(high, w.all(wide, -shift));
  high = b.CreateAnd(b.CreateBitCast(high, type), w.all(type, 48));
  return b.CreateOr(value, high);
}

Value *LinearQ::halves(Value *pointer, int64_t count) {
  MicroWriter &w = *writer;
  Value *value = w.load(w.vector(w.b.getHalfTy(), count), pointer);
  return w.b.CreateFPExt(value, w.vector(w.f32(), count));
}

Value *LinearQ::broadcast(Value *pointer, int64_t lanes) {
  return writer->b.CreateVectorSplat(lanes,
                                     writer->load(writer->f32(), pointer));
}

Value *LinearQ::accumulate(Value *sum, Value *term, Value *factor) {
  if (layout.hasMinimum())
    return writer->b.CreateFAdd(sum, writer->b.CreateFMul(term, factor));
  return writer->fma(term, factor, sum);
}

void LinearQ::finish(Value *sums, Value *panel, Value *res, Value *y) {
  MicroWriter &w = *writer;
  Type *rows = w.vector(w.f32(), layout.rows);
  const int64_t out = shape.out;
  if (shape.bias)
    sums = w.b.CreateFAdd(
        sums, w.load(rows, w.at(bias, panel, int64_t(layout.rows) * 4)));
  if (shape.swiglu)
    sums =
        w.b.CreateFMul(silu(w, w.part(sums, 0, out)), w.part(sums, out, out));
  else if (shape.residual)
    sums = w.b.CreateFAdd(w.load(rows, w.at(res, panel, out * 4)), sums);
  w.store(sums, w.at(y, panel, out * 4));
}

} // namespace lfmc
