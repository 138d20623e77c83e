// SPDX-License-Identifier: Apache-2.0
#include "dialects/kernel/Kernel.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;
using namespace lfmc::kernel;

#define GET_OP_CLASSES
#include "dialects/kernel/KernelOps.cpp.inc"

//===----------------------------------------------------------------------===//
// DeclOp
//===----------------------------------------------------------------------===//

LogicalResult DeclOp::verify() {
  if (getGenerator().empty()) // C1; C2 is ChunksAttr's
    return emitOpError("expected a generator name");
  return success();
}

//===----------------------------------------------------------------------===//
// CallOp
//===----------------------------------------------------------------------===//

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &symbols) {
  Operation *callee = symbols.lookupNearestSymbolFrom(*this, getCalleeAttr());
  if (!isa_and_nonnull<DeclOp>(callee)) { // C1
    InFlightDiagnostic diag = emitOpError("expected @")
                              << getCallee() << " to be a kernel.decl";
    if (callee)
      diag.attachNote(callee->getLoc()) << "found this instead";
    return diag;
  }
  return success();
}

LogicalResult CallOp::verify() {
  bool tensors = llvm::all_of(getOperandTypes(), llvm::IsaPred<TensorType>);
  bool memrefs = llvm::all_of(getOperandTypes(), llvm::IsaPred<MemRefType>);
  if (!tensors && !memrefs) // C2
    return emitOpError("expected operands that are all tensors or all memrefs");
  size_t wanted = tensors ? getInits().size() : 0;
  if (getNumResults() != wanted) // C2
    return emitOpError("expected ")
           << wanted << " results, found " << getNumResults();
  for (auto [result, init] : llvm::zip(getResultTypes(), getInits()))
    if (result != init.getType()) // C3
      return emitOpError("expected result type ")
             << init.getType() << " of its out, found " << result;
  return success();
}

void CallOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &input : getInputsMutable())
    if (isa<MemRefType>(input.get().getType()))
      effects.emplace_back(MemoryEffects::Read::get(), &input);
  for (OpOperand &init : getInitsMutable())
    if (isa<MemRefType>(init.get().getType())) {
      effects.emplace_back(MemoryEffects::Read::get(), &init);
      effects.emplace_back(MemoryEffects::Write::get(), &init);
    }
}

//===----------------------------------------------------------------------===//
// BufferOp
//===----------------------------------------------------------------------===//

LogicalResult BufferOp::verify() {
  int64_t offset = getOffset();
  bool io = getSpace() == Space::Input || getSpace() == Space::Output;
  if (offset < 0 || (io ? offset != 0 : offset % 4 != 0)) // C1
    return emitOpError("expected an offset that is ")
           << (io ? "0" : "a multiple of 4") << ", found " << offset;
  return success();
}

//===----------------------------------------------------------------------===//
// PhaseOp
//===----------------------------------------------------------------------===//

LogicalResult PhaseOp::verify() {
  bool shared = false;
  for (Operation &op : getBody().front()) {
    auto call = dyn_cast<CallOp>(op);
    if (!call) // C1
      return op.emitOpError("expected only kernel.call in a kernel.phase");
    if (call.getReplicated() && shared) // C1
      return call.emitOpError("expected replicated calls first in a phase");
    shared |= !call.getReplicated();
  }
  return success();
}
