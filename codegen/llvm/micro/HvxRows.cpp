// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/micro/HvxRows.h"

using namespace llvm;

namespace lfmc {
namespace {

constexpr int64_t lanes = 32, vectorBytes = 128;

class HvxRows {
public:
  HvxRows(LinearQ &q, Value *panel, int64_t token)
      : q(q), shape(q.shape), w(*q.writer), b(w.b), panel(panel), token(token) {
  }
  Value *y() { return column(q.y, shape.yStride); }
  void storeVectors(ArrayRef<Value *> bits);
  void storeRow(Value *row, Value *memory);

private:
  /// Of the panel's first row.
  Value *column(Value *pointer, int64_t stride) {
    return w.at(w.at(pointer, token * stride * 4), panel,
                int64_t(shape.out) * 4);
  }
  Value *panelBias() { return w.at(q.bias, panel, int64_t(q.layout.rows) * 4); }
  Value *load(Type *type, Value *pointer) {
    return b.CreateAlignedLoad(type, pointer, Align(4));
  }

  LinearQ &q;
  const halide::LinearQShape &shape;
  MicroWriter &w;
  IRBuilder<> &b;
  Value *panel;
  const int64_t token;
};

void HvxRows::storeVectors(ArrayRef<Value *> bits) {
  auto *floats = w.vector(w.f32(), lanes);
  Values values;
  for (auto [v, vector] : enumerate(bits)) {
    Value *value = b.CreateBitCast(vector, floats);
    if (shape.bias)
      value = b.CreateFAdd(
          value, load(floats, w.at(panelBias(), int64_t(v) * vectorBytes)));
    values.push_back(value);
  }
  if (shape.swiglu) {
    const size_t half = values.size() / 2;
    for (size_t v = 0; v < half; ++v)
      values[v] = b.CreateFMul(silu(w, values[v]), values[half + v]);
    values.resize(half);
  }
  for (auto [v, value] : enumerate(values)) {
    const int64_t at = int64_t(v) * vectorBytes;
    if (shape.residual && !shape.swiglu)
      value = b.CreateFAdd(
          load(floats, w.at(column(q.res, shape.resStride), at)), value);
    b.CreateAlignedStore(value, w.at(y(), at), Align(4));
  }
}

void HvxRows::storeRow(Value *row, Value *memory) {
  auto result = [&](Value *row) {
    Value *value = load(w.f32(), w.at(memory, row, 4));
    if (!shape.bias)
      return value;
    return b.CreateFAdd(value, load(w.f32(), w.at(panelBias(), row, 4)));
  };
  Value *value = result(row);
  if (shape.swiglu)
    value = b.CreateFMul(silu(w, value),
                         result(b.CreateAdd(row, w.index(shape.out))));
  else if (shape.residual)
    value = b.CreateFAdd(
        load(w.f32(), w.at(column(q.res, shape.resStride), row, 4)), value);
  b.CreateAlignedStore(value, w.at(y(), row, 4), Align(4));
}

} // namespace

void finishHvxRows(LinearQ &q, int64_t vectors,
                   function_ref<Value *(int64_t)> bits, Value *panel,
                   int64_t token, bool floats) {
  const halide::LinearQShape &shape = q.shape;
  MicroWriter &w = *q.writer;
  HvxRows rows(q, panel, token);
  const bool plain = !shape.bias && !shape.residual && !shape.swiglu;
  if (!plain && floats && shape.out % lanes == 0) {
    Values all;
    for (int64_t v = 0; v < vectors; ++v)
      all.push_back(bits(v));
    return rows.storeVectors(all);
  }
  Value *memory = plain ? rows.y() : w.stack(q.layout.rows * 4);
  for (int64_t v = 0; v < vectors; ++v)
    w.b.CreateAlignedStore(bits(v), w.at(memory, v * vectorBytes), Align(4));
  if (!plain)
    w.loop(shape.out, [&](Value *row) { rows.storeRow(row, memory); });
}

} // namespace lfmc
