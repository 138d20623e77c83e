// SPDX-License-Identifier: Apache-2.0
//
// Verifiers of ExpertOps.td.
#include "dialects/lfm2/Verify.h"

using namespace mlir;
using namespace lfmc::lfm2;
using namespace lfmc::lfm2::verifier;

LogicalResult RouteOp::verify() {
  int64_t experts = getLogits().getType().getDimSize(1);
  if (getBias() && failed(verifyDim(*this, "the size of the bias",
                                    getBias().getType().getDimSize(0), experts,
                                    getBias()))) // (C1)
    return failure();
  int64_t topK = getTopK();
  if (topK < 1 || topK > experts) // (C2)
    return emitOpError() << "expected 1 to " << experts
                         << " chosen experts, found " << topK;
  int64_t tokens = getLogits().getType().getDimSize(0);
  for (Value result : getResults()) { // (C3)
    auto type = cast<RankedTensorType>(result.getType());
    if (failed(verifyDim(*this, "the results' row count", type.getDimSize(0),
                         tokens)) ||
        failed(
            verifyDim(*this, "the results' width", type.getDimSize(1), topK)))
      return failure();
  }
  return verifyPositive(*this, "scaling", getScaling()); // (C4)
}

LogicalResult ExpertsOp::verify() {
  RankedTensorType x = getX().getType(), weight = getWeight().getType(),
                   chosen = getChosen().getType(),
                   result = getResult().getType();
  int64_t rows = weight.getDimSize(0), experts = getExperts();
  int64_t parts = isSwiglu() ? 2 : 1;
  if (experts < 1 || experts > rows || rows % (parts * experts)) // (C1)
    return noteOrigin(
        emitOpError() << "expected the weight's rows to be those of " << experts
                      << " experts" << (isSwiglu() ? ", gate and up" : "")
                      << ", found " << rows,
        getWeight());
  int64_t topK = chosen.getDimSize(1), slot = getSlotWidth();
  int64_t xWidth = isSwiglu() ? weight.getDimSize(1) : topK * slot;
  int64_t resultWidth = isSwiglu() ? topK * slot : rows / experts;
  if (failed(verifyDim(*this, "the width of x", x.getDimSize(1), xWidth,
                       getWeight())) || // (C2), (C3)
      failed(verifyDim(*this, "the result's width", result.getDimSize(1),
                       resultWidth, getWeight()))) // (C2), (C3)
    return failure();
  if (bool(getScales()) != isSwiglu()) // (C4)
    return emitOpError() << (isSwiglu() ? "expected scales with swiglu, found "
                                          "none"
                                        : "expected no scales without swiglu, "
                                          "found some");
  if (getScales() &&
      failed(verifyDim(*this, "the width of the scales",
                       getScales().getType().getDimSize(1), topK))) // (C4)
    return failure();
  if (getResidual() && isSwiglu()) // (C5)
    return emitOpError() << "expected no residual with swiglu, found one";
  if (getResidual() &&
      failed(verifySameType(*this, "a residual", getResidual().getType(),
                            result))) // (C5)
    return failure();
  auto stored = dyn_cast_or_null<StoredAttr>(weight.getEncoding());
  if (isa_and_nonnull<QuantizedAttr>(x.getEncoding()) &&
      !(stored && stored.isQuantized())) // (C6)
    return noteOrigin(emitOpError() << "expected x not to be quantized for "
                                       "this weight, found "
                                    << x,
                      getWeight());
  for (Value rowsOfTokens :
       {Value(getChosen()), Value(getScales()), Value(getResult())}) // (C7)
    if (rowsOfTokens &&
        failed(verifyDim(
            *this, "the row count of choice, scales and result",
            cast<RankedTensorType>(rowsOfTokens.getType()).getDimSize(0),
            x.getDimSize(0))))
      return failure();
  return success();
}
