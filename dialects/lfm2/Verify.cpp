// SPDX-License-Identifier: Apache-2.0
#include "dialects/lfm2/Verify.h"

#include <cmath>

using namespace mlir;

namespace lfmc::lfm2::verifier {

InFlightDiagnostic &&noteOrigin(InFlightDiagnostic &&diag, Value value) {
  auto param = value.getDefiningOp<ParamOp>();
  if (!param)
    return std::move(diag);
  Operation *weight =
      SymbolTable::lookupNearestSymbolFrom(param, param.getWeightAttr());
  if (weight)
    diag.attachNote(weight->getLoc()) << "weight declared here";
  return std::move(diag);
}

std::string dimText(int64_t dim) {
  return ShapedType::isDynamic(dim) ? "?" : std::to_string(dim);
}

LogicalResult verifyDim(Operation *op, const Twine &what, int64_t found,
                        int64_t wanted, Value origin) {
  if (found == wanted)
    return success();
  InFlightDiagnostic diag = op->emitOpError()
                            << "expected " << what << " to be "
                            << dimText(wanted) << ", found " << dimText(found);
  return origin ? noteOrigin(std::move(diag), origin) : std::move(diag);
}

LogicalResult verifyPositive(Operation *op, StringRef name,
                             const APFloat &value) {
  double number = value.convertToDouble();
  if (number > 0 && std::isfinite(number))
    return success();
  return op->emitOpError() << "expected a finite " << name << " above 0, found "
                           << number;
}

LogicalResult verifySameType(Operation *op, StringRef what, Type found,
                             Type wanted) {
  if (found == wanted)
    return success();
  return op->emitOpError() << "expected " << what << " of type " << wanted
                           << ", found " << found;
}

} // namespace lfmc::lfm2::verifier
