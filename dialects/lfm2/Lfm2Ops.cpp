// SPDX-License-Identifier: Apache-2.0
#include "dialects/lfm2/Factors.h"
#include "dialects/lfm2/Verify.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace lfmc::lfm2;
using namespace lfmc::lfm2::verifier;

#define GET_OP_CLASSES
#include "dialects/lfm2/Lfm2Ops.cpp.inc"

namespace {

// heads * D of a cache `[C, heads, D]`, which is the width of its rows; 0,
// which nothing divides and no width equals, if that overflows.
int64_t cacheWidth(RankedTensorType cache) {
  int64_t width;
  return llvm::MulOverflow(cache.getDimSize(1), cache.getDimSize(2), width)
             ? 0
             : width;
}

LogicalResult verifyCacheRows(Operation *op, StringRef name, Value rows,
                              RankedTensorType cache) {
  return verifyDim(op, "the width of " + name,
                   cast<ShapedType>(rows.getType()).getDimSize(1),
                   cacheWidth(cache));
}

} // namespace

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

/// Factors of a weight: one for each of `count` rows or columns.
static LogicalResult verifyFactors(WeightOp op, StringRef name, int64_t count) {
  Attribute attribute = op->getAttr(name);
  if (!attribute)
    return success();
  auto type = cast<RankedTensorType>(op.getType());
  if (!isa<DenseF32ArrayAttr>(attribute) || !isa<SourceAttr>(op.getSource()) ||
      (type.getRank() != 1 &&
       !cast<StoredAttr>(type.getEncoding()).isQuantized()))
    return op.emitOpError() << "expected " << name
                            << " to be array<f32>, on vectors and quantized "
                               "matrices of a #lfm2.source only";
  ArrayRef<float> factors = factorsOf(op, name);
  if (int64_t(factors.size()) != count)
    return op.emitOpError() << "expected " << count << " values of " << name
                            << ", found " << factors.size();
  for (auto [index, factor] : llvm::enumerate(factors))
    if (!(factor > 0) || !std::isfinite(factor))
      return op.emitOpError()
             << "expected " << name << " to be positive and finite, value "
             << index << " is not";
  return success();
}

LogicalResult WeightOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape() || !type.getElementType().isF32() ||
      !isa_and_nonnull<StoredAttr>(type.getEncoding())) // (C1)
    return emitOpError() << "expected a static ranked tensor of f32 with a "
                            "#lfm2.stored encoding, found "
                         << getType();
  int64_t columns = type.getRank() == 2 ? type.getDimSize(1) : 0;
  if (failed(verifyFactors(*this, rowFactorsName, type.getDimSize(0))) ||
      failed(verifyFactors(*this, columnFactorsName, columns)))
    return failure();
  if (auto source = dyn_cast<SourceAttr>(getSource())) { // (C2)
    if (source.getTensors().empty())
      return emitOpError() << "expected at least one source tensor, found none";
    return success();
  }
  auto table = dyn_cast<RopeTableAttr>(getSource());
  if (!table) // (C2)
    return emitOpError() << "expected a #lfm2.source or #lfm2.rope_table, "
                            "found "
                         << getSource();
  if (type.getRank() != 2) // (C2)
    return emitOpError() << "expected rank 2 for a rope table, found rank "
                         << type.getRank();
  return verifyDim(*this, "dimension 1 of a rope table", type.getDimSize(1),
                   table.getRope().getDim()); // (C2)
}

LogicalResult StateOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape() ||
      !(type.getElementType().isF32() || type.getElementType().isF16())) // (C1)
    return emitOpError()
           << "expected a static ranked tensor of f32 or f16, found "
           << getType();
  auto quantized = dyn_cast_or_null<QuantizedCacheAttr>(type.getEncoding());
  if (type.getEncoding() && !quantized) // (C3)
    return emitOpError() << "expected no encoding but #lfm2.quantized_cache, "
                            "found "
                         << type.getEncoding();
  if (CacheLayoutAttr layout = getLayoutAttr()) {
    int64_t unit = quantized ? quantized.getPositions() : type.getDimSize(0);
    if (!getPerToken() || type.getRank() != 3 ||
        unit % layout.getLanes()) // (C2)
      return emitOpError() << "expected a per_token cache of rank 3 with a "
                              "multiple of "
                           << layout.getLanes() << " positions for its layout";
  }
  return success();
}

LogicalResult ParamOp::verifySymbolUses(SymbolTableCollection &symbols) {
  Operation *symbol = symbols.lookupNearestSymbolFrom(*this, getWeightAttr());
  auto weight = dyn_cast_or_null<WeightOp>(symbol);
  if (!weight) { // (C1)
    InFlightDiagnostic diag = emitOpError() << "expected " << getWeightAttr()
                                            << " to name an lfm2.weight";
    if (symbol)
      diag.attachNote(symbol->getLoc()) << "symbol declared here";
    return diag;
  }
  if (weight.getType() != getResult().getType()) { // (C2)
    InFlightDiagnostic diag = emitOpError() << "expected the weight's type "
                                            << weight.getType() << ", found "
                                            << getResult().getType();
    diag.attachNote(weight.getLoc()) << "weight declared here";
    return diag;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Computation
//===----------------------------------------------------------------------===//

LogicalResult EmbedOp::verify() {
  RankedTensorType result = getResult().getType();
  if (failed(verifyDim(*this, "the result's row count", result.getDimSize(0),
                       getTokens().getType().getDimSize(0)))) // (C1)
    return failure();
  return verifyDim(*this, "the result's width", result.getDimSize(1),
                   getTable().getType().getDimSize(1), getTable()); // (C1)
}

LogicalResult RmsNormOp::verify() {
  // (C1) is part of the operand's type.
  int64_t width = getX().getType().getDimSize(1);
  int64_t group = getWeight().getType().getDimSize(0);
  if (group == 0 || width % group) // (C2)
    return noteOrigin(emitOpError()
                          << "expected a row width divisible by the " << group
                          << " elements of the weight, found " << width,
                      getWeight());
  return verifyPositive(*this, "eps", getEps()); // (C3)
}

LogicalResult LinearOp::verify() {
  RankedTensorType x = getX().getType(), weight = getWeight().getType(),
                   result = getResult().getType();
  int64_t rows = weight.getDimSize(0), columns = weight.getDimSize(1);
  if (failed(verifyDim(*this, "the width of x", x.getDimSize(1), columns,
                       getWeight()))) // (C1)
    return failure();
  bool swiglu = getActivation() == Activation::Swiglu;
  if (swiglu && rows % 2) // (C2)
    return noteOrigin(emitOpError() << "expected an even number of weight rows "
                                       "with swiglu, found "
                                    << rows,
                      getWeight());
  if (failed(verifyDim(*this, "the result's row count", result.getDimSize(0),
                       x.getDimSize(0))) || // (C2)
      failed(verifyDim(*this, "the result's width", result.getDimSize(1),
                       swiglu ? rows / 2 : rows, getWeight()))) // (C2)
    return failure();
  if (getBias() && failed(verifyDim(*this, "the size of the bias",
                                    getBias().getType().getDimSize(0), rows,
                                    getBias()))) // (C3)
    return failure();
  if (getNorm() && failed(verifyDim(*this, "the size of the norm weight",
                                    getNorm().getType().getDimSize(0), columns,
                                    getNorm()))) // (C4)
    return failure();
  if (bool(getNorm()) != getEps().has_value()) // (C4)
    return emitOpError() << (getNorm() ? "expected eps with a norm weight, "
                                         "found none"
                                       : "expected no eps without a norm "
                                         "weight, found one");
  if (getEps() && failed(verifyPositive(*this, "eps", *getEps()))) // (C4)
    return failure();
  auto stored = dyn_cast_or_null<StoredAttr>(weight.getEncoding());
  bool integer = isa_and_nonnull<QuantizedAttr>(x.getEncoding());
  bool rounded = x.getElementType().isBF16();
  bool quantized = stored && stored.isQuantized();
  if ((integer && !quantized) || (rounded && quantized)) // (C6)
    return noteOrigin(emitOpError()
                          << "expected x not to be "
                          << (integer ? "quantized" : "rounded to bf16")
                          << " for this weight, found " << x,
                      getWeight());
  if ((integer || rounded) && getNorm()) // (C6)
    return emitOpError() << "expected no norm of "
                         << (integer ? "quantized" : "rounded")
                         << " rows, found one";
  if (!getResidual())
    return success();
  if (swiglu) // (C5)
    return emitOpError() << "expected no residual with swiglu, found one";
  return verifySameType(*this, "a residual", getResidual().getType(),
                        result); // (C5)
}

LogicalResult QuantizeOp::verify() {
  RankedTensorType x = getX().getType(), result = getResult().getType();
  if (x.getShape() != result.getShape()) // (C1)
    return emitOpError() << "expected quantized rows of the shape of " << x
                         << ", found " << result;
  if (getNorm() && failed(verifyDim(*this, "the size of the norm weight",
                                    getNorm().getType().getDimSize(0),
                                    x.getDimSize(1), getNorm()))) // (C2)
    return failure();
  if (bool(getNorm()) != getEps().has_value()) // (C2)
    return emitOpError() << (getNorm() ? "expected eps with a norm weight, "
                                         "found none"
                                       : "expected no eps without a norm "
                                         "weight, found one");
  return getEps() ? verifyPositive(*this, "eps", *getEps()) // (C2)
                  : success();
}

LogicalResult ShortConvOp::verify() {
  RankedTensorType x = getX().getType(), weight = getWeight().getType(),
                   state = getState().getType();
  int64_t width = x.getDimSize(1), taps = weight.getDimSize(1);
  if (failed(verifyDim(*this, "the rows of the weight", weight.getDimSize(0),
                       width, getWeight()))) // (C1)
    return failure();
  if (taps < 2) // (C1)
    return noteOrigin(emitOpError()
                          << "expected at least 2 taps, found " << taps,
                      getWeight());
  if (failed(verifySameType(*this, "a result", getResult().getType(), x)))
    return failure();
  if (failed(verifyDim(*this, "the rows of the state", state.getDimSize(0),
                       taps - 1)) || // (C2)
      failed(verifyDim(*this, "the width of the state", state.getDimSize(1),
                       width)) || // (C2)
      failed(verifySameType(*this, "a new state", getNewState().getType(),
                            state))) // (C2)
    return failure();
  if (getBias() && failed(verifyDim(*this, "the size of the bias",
                                    getBias().getType().getDimSize(0), width,
                                    getBias()))) // (C3)
    return failure();
  if (getPre() && failed(verifySameType(*this, "gate pre", getPre().getType(),
                                        x))) // (C4)
    return failure();
  if (getPost() && failed(verifySameType(*this, "gate post",
                                         getPost().getType(), x))) // (C4)
    return failure();
  if (bool(getPre()) != bool(getPost())) // (C5)
    return emitOpError() << "expected both gates or none, found only "
                         << (getPre() ? "pre" : "post");
  return success();
}

LogicalResult RopeOp::verify() {
  int64_t width = getX().getType().getDimSize(1);
  int64_t head = static_cast<int64_t>(getHeadDim());
  if (head < 1 || width % head) // (C1)
    return emitOpError() << "expected a row width divisible by head_dim "
                         << head << ", found " << width;
  if (getRope().getDim() > head) // (C2); the attribute checks that it is even
    return emitOpError() << "expected at most " << head
                         << " rotated elements, found " << getRope().getDim();
  return success();
}

LogicalResult CacheWriteOp::verify() {
  return verifyCacheRows(*this, "x", getX(), getCache().getType()); // (C1)
}

LogicalResult RopeCacheOp::verify() {
  RankedTensorType cache = getKCache().getType();
  int64_t head = cache.getDimSize(2);
  if (failed(verifySameType(*this, "a v cache", getVCache().getType(),
                            cache)) || // (C6)
      failed(verifySameType(*this, "a new k cache", getNewK().getType(),
                            cache)) || // (C6)
      failed(verifySameType(*this, "a new v cache", getNewV().getType(),
                            cache)) ||                      // (C6)
      failed(verifyCacheRows(*this, "k", getK(), cache)) || // (C1)
      failed(verifyCacheRows(*this, "v", getV(), cache)))   // (C1)
    return failure();
  RankedTensorType q = getQ().getType();
  for (Value rows : {getK(), getV()})
    if (failed(verifyDim(*this, "the row count of k and v",
                         cast<ShapedType>(rows.getType()).getDimSize(0),
                         q.getDimSize(0)))) // (C1)
      return failure();
  if (head == 0 || q.getDimSize(1) % head) // (C2)
    return emitOpError() << "expected a width of q divisible by the head size "
                         << head << ", found " << q.getDimSize(1);
  if (failed(verifySameType(*this, "a rotated q", getRotated().getType(), q)))
    return failure();
  for (Value norm : {getQNorm(), getKNorm()})
    if (failed(verifyDim(*this, "the size of a norm weight",
                         cast<ShapedType>(norm.getType()).getDimSize(0), head,
                         norm))) // (C3)
      return failure();
  if (failed(verifyPositive(*this, "eps", getEps()))) // (C4)
    return failure();
  if (getRope().getDim() > head) // (C5); the attribute checks that it is even
    return emitOpError() << "expected at most " << head
                         << " rotated elements, found " << getRope().getDim();
  return success();
}

LogicalResult AttentionOp::verify() {
  RankedTensorType cache = getKCache().getType();
  if (failed(verifySameType(*this, "a v cache", getVCache().getType(),
                            cache))) // (C1)
    return failure();
  int64_t width = getQ().getType().getDimSize(1);
  int64_t heads = cacheWidth(cache);
  if (heads == 0 || width % heads) // (C2)
    return emitOpError() << "expected a width of q divisible by " << heads
                         << ", the width of the cache's heads, found " << width;
  if (failed(verifyPositive(*this, "scale", getScale()))) // (C3)
    return failure();
  if (getWindow() && static_cast<int64_t>(*getWindow()) < 1) // (C4)
    return emitOpError() << "expected a window of at least 1 position, found "
                         << static_cast<int64_t>(*getWindow());
  return success();
}
