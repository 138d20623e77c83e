// SPDX-License-Identifier: Apache-2.0
#include "dialects/lfm2/Lfm2.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace lfmc::lfm2;

#include "dialects/lfm2/Lfm2Dialect.cpp.inc"
#include "dialects/lfm2/Lfm2Enums.cpp.inc"

void Lfm2Dialect::initialize() {
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "dialects/lfm2/Lfm2Ops.cpp.inc"
      >();
}

// The state that an argument or result of type `type` carries.
static LogicalResult verifyState(Operation *op, NamedAttribute attribute,
                                 Type type, const Twine &carrier) {
  if (attribute.getName() != "lfm2.state")
    return op->emitError() << "'" << attribute.getName().getValue()
                           << "' has no meaning on " << carrier;
  auto symbol = dyn_cast<FlatSymbolRefAttr>(attribute.getValue());
  Operation *found =
      symbol ? SymbolTable::lookupNearestSymbolFrom(op, symbol) : nullptr;
  auto state = dyn_cast_or_null<StateOp>(found);
  if (!state) { // (D1)
    InFlightDiagnostic diag = op->emitError()
                              << "expected 'lfm2.state' of " << carrier
                              << " to name an lfm2.state, found "
                              << attribute.getValue();
    if (found)
      diag.attachNote(found->getLoc()) << "symbol declared here";
    return diag;
  }
  if (isa<TensorType>(type) && type != state.getType()) { // (D2)
    InFlightDiagnostic diag = op->emitError()
                              << "expected " << carrier << " of type "
                              << state.getType() << ", found " << type;
    diag.attachNote(state.getLoc()) << "state declared here";
    return diag;
  }
  return success();
}

LogicalResult Lfm2Dialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                    unsigned index,
                                                    NamedAttribute attribute) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function || index >= function.getNumArguments())
    return op->emitError() << "expected lfm2 attributes on functions only";
  return verifyState(op, attribute, function.getArgumentTypes()[index],
                     "argument " + Twine(index));
}

LogicalResult Lfm2Dialect::verifyRegionResultAttribute(
    Operation *op, unsigned, unsigned index, NamedAttribute attribute) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function || index >= function.getNumResults())
    return op->emitError() << "expected lfm2 attributes on functions only";
  return verifyState(op, attribute, function.getResultTypes()[index],
                     "result " + Twine(index));
}

LogicalResult Lfm2Dialect::verifyOperationAttribute(Operation *op,
                                                    NamedAttribute attribute) {
  if (attribute.getName() == "lfm2.state") // (D1)
    return op->emitError() << "expected 'lfm2.state' on arguments and results "
                              "only";
  if (attribute.getName() != "lfm2.max_tokens")
    return success();
  auto count = dyn_cast<IntegerAttr>(attribute.getValue());
  if (!count || !count.getType().isInteger(64) || count.getInt() < 1) // (D3)
    return op->emitError() << "expected 'lfm2.max_tokens' to be an i64 of at "
                              "least 1, found "
                           << attribute.getValue();
  return success();
}
