// SPDX-License-Identifier: Apache-2.0
#include "passes/expand/Emitter.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace lfmc::expand;

Value Emitter::operand(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getEncoding()) {
    type = RankedTensorType::get(type.getShape(), type.getElementType());
    return tensor::CastOp::create(*this, type, value);
  }
  if (auto widened = value.getDefiningOp<arith::ExtFOp>())
    return widened.getIn();
  return value;
}

OpFoldResult Emitter::size(Value tensor, unsigned dim) {
  return tensor::getMixedSize(*this, getLoc(), tensor, dim);
}

Value Emitter::index(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}

Value Emitter::index(OpFoldResult value) {
  return getValueOrCreateConstantIndexOp(*this, getLoc(), value);
}

Value Emitter::f32(double value) {
  return arith::ConstantOp::create(*this, getF32FloatAttr(float(value)));
}

Value Emitter::empty(const Sizes &sizes, Type elementType) {
  return tensor::EmptyOp::create(*this, sizes, elementType);
}

Value Emitter::filled(const Sizes &sizes, double value) {
  return linalg::FillOp::create(*this, ValueRange{f32(value)},
                                ValueRange{empty(sizes)})
      .getResult(0);
}

// "t+j" and "tk" as affine maps over the loops named by `loops`.
static AffineMap parseMap(StringRef loops, StringRef text,
                          MLIRContext *context) {
  auto dim = [&](char letter) {
    size_t at = loops.find_insensitive(StringRef(&letter, 1));
    assert(at != StringRef::npos && "a map names a loop");
    return getAffineDimExpr(at, context);
  };
  SmallVector<AffineExpr> results;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+')
      results.back() = results.back() + dim(text[++i]);
    else
      results.push_back(dim(text[i]));
  }
  return AffineMap::get(loops.size(), 0, results, context);
}

SmallVector<Value> Emitter::loopNest(StringRef loops, ArrayRef<StringRef> maps,
                                     ValueRange inputs, ValueRange inits,
                                     Body body) {
  SmallVector<AffineMap> indexing;
  for (StringRef map : maps)
    indexing.push_back(parseMap(loops, map, getContext()));
  SmallVector<utils::IteratorType> iterators;
  for (char loop : loops)
    iterators.push_back(llvm::isUpper(loop) ? utils::IteratorType::reduction
                                            : utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      *this, inits.getTypes(), inputs, inits, indexing, iterators,
      [&](OpBuilder &builder, Location loc, ValueRange scalars) {
        Emitter inner(loc, builder);
        SmallVector<Value> wide;
        for (Value scalar : scalars)
          wide.push_back(
              scalar.getType().isF16() || scalar.getType().isBF16()
                  ? arith::ExtFOp::create(inner, inner.getF32Type(), scalar)
                        .getResult()
                  : scalar);
        SmallVector<Value> results = body(inner, wide);
        for (auto [result, init] : llvm::zip(results, inits)) {
          Type element = cast<ShapedType>(init.getType()).getElementType();
          if (result.getType() != element)
            result = arith::TruncFOp::create(inner, element, result);
        }
        linalg::YieldOp::create(inner, results);
      });
  return llvm::to_vector_of<Value>(generic.getResults());
}

Value Emitter::elementwise(StringRef loops, ArrayRef<StringRef> maps,
                           ValueRange inputs, Value init, Body body) {
  SmallVector<StringRef> all(maps);
  all.push_back(loops);
  return loopNest(loops, all, inputs, init, body).front();
}

Value Emitter::contract(StringRef loops, ArrayRef<StringRef> maps, Value left,
                        Value right, Value init) {
  return loopNest(loops, maps, {left, right}, init,
                  [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                    return {e.accumulate(v[2], e.mul(v[0], v[1]))};
                  })
      .front();
}

Value Emitter::split(Value rows, ArrayRef<int64_t> groups) {
  auto type = cast<RankedTensorType>(rows.getType());
  SmallVector<int64_t> shape{type.getDimSize(0)};
  Sizes sizes{size(rows, 0)};
  ReassociationIndices inner;
  for (int64_t group : groups) {
    inner.push_back(shape.size());
    shape.push_back(group);
    sizes.push_back(getIndexAttr(group));
  }
  return tensor::ExpandShapeOp::create(
      *this, RankedTensorType::get(shape, type.getElementType()), rows,
      ArrayRef<ReassociationIndices>{{0}, inner}, sizes);
}

Value Emitter::join(Value value) {
  ReassociationIndices inner;
  for (int64_t i = 1; i < cast<ShapedType>(value.getType()).getRank(); ++i)
    inner.push_back(i);
  return tensor::CollapseShapeOp::create(
      *this, value, ArrayRef<ReassociationIndices>{{0}, inner});
}

Value Emitter::slice(Value value, Sizes offsets, Sizes sizes, bool dropFirst,
                     int64_t stride) {
  auto source = cast<RankedTensorType>(value.getType());
  Sizes strides(sizes.size(), getIndexAttr(1));
  strides.back() = getIndexAttr(stride);
  SmallVector<int64_t> shape;
  for (OpFoldResult size : ArrayRef(sizes).drop_front(dropFirst))
    shape.push_back(getConstantIntValue(size).value_or(ShapedType::kDynamic));
  return tensor::ExtractSliceOp::create(
      *this, RankedTensorType::get(shape, source.getElementType()), value,
      offsets, sizes, strides);
}

Value Emitter::insert(Value value, Value into, Sizes offsets, Sizes sizes,
                      int64_t stride) {
  Sizes strides(sizes.size(), getIndexAttr(1));
  strides.back() = getIndexAttr(stride);
  return tensor::InsertSliceOp::create(*this, value, into, offsets, sizes,
                                       strides);
}
