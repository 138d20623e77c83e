// SPDX-License-Identifier: Apache-2.0
//
// The fallback kernel: an op's linalg expansion for one token, called token by
// token. Correct for every op, tuned for none.
#include "codegen/llvm/Program.h"
#include "passes/expand/Expand.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace lfmc {

/// Temporaries live on the thread's stack.
static constexpr unsigned maxStackBytes = 256 << 10;

/// Turns the tensors of the signature into memrefs that the caller owns: the
/// results are written to the outs, the last arguments before the position.
static void passByMemref(func::FuncOp function) {
  Block &block = function.front();
  OpBuilder b = OpBuilder::atBlockBegin(&block);
  Location loc = function.getLoc();
  SmallVector<Value> memrefs;
  for (BlockArgument argument : block.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type)
      continue;
    auto memref = MemRefType::get(type.getShape(), type.getElementType());
    argument.setType(memref);
    auto tensor = bufferization::ToTensorOp::create(
        b, loc, type, argument, /*restrict=*/true, /*writable=*/true);
    argument.replaceAllUsesExcept(tensor, tensor);
    memrefs.push_back(argument);
  }
  auto ret = cast<func::ReturnOp>(block.getTerminator());
  b.setInsertionPoint(ret);
  ArrayRef<Value> outs = ArrayRef(memrefs).take_back(ret.getNumOperands());
  for (auto [result, out] : llvm::zip(ret.getOperands(), outs))
    bufferization::MaterializeInDestinationOp::create(
        b, loc, Type(), result, out, /*restrict=*/true, /*writable=*/true);
  ret->setOperands({});
  function.setType(b.getFunctionType(block.getArgumentTypes(), {}));
}

static bool fitsStack(MemRefType type) {
  return type.hasStaticShape() &&
         type.getNumElements() * type.getElementTypeBitWidth() / 8 <=
             maxStackBytes;
}

/// An allocation that upstream's promotion leaves alone, because the buffer
/// leaves its region (the result of an scf.if), may still live on the stack of
/// the function, unless iterations of a loop would share it.
static LogicalResult moveToStack(memref::AllocOp alloc) {
  if (!fitsStack(alloc.getType()))
    return alloc.emitError("the expansion of this op needs a temporary ")
           << alloc.getType() << ", more than " << maxStackBytes
           << " bytes of stack";
  if (alloc->getParentOfType<LoopLikeOpInterface>())
    return alloc.emitError("the expansion of this op allocates ")
           << alloc.getType() << " in a loop that carries it";
  OpBuilder b =
      OpBuilder::atBlockBegin(&alloc->getParentOfType<func::FuncOp>().front());
  Value buffer = memref::AllocaOp::create(b, alloc.getLoc(), alloc.getType());
  alloc.replaceAllUsesWith(buffer);
  alloc.erase();
  return success();
}

/// No library calls and no allocation: copies become loops, and what cannot go
/// to the stack is an error.
static LogicalResult checkBuffers(ModuleOp module) {
  SmallVector<memref::CopyOp> copies;
  SmallVector<memref::AllocOp> allocs;
  module.walk([&](memref::CopyOp copy) { copies.push_back(copy); });
  module.walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });
  for (memref::AllocOp alloc : allocs)
    if (failed(moveToStack(alloc)))
      return failure();
  for (memref::CopyOp copy : copies) {
    OpBuilder b(copy);
    linalg::CopyOp::create(b, copy.getLoc(), ValueRange{copy.getSource()},
                           ValueRange{copy.getTarget()});
    copy.erase();
  }
  return success();
}

static LogicalResult lower(ModuleOp module) {
  PassManager first(module.getContext());
  first.addNestedPass<func::FuncOp>(createConvertElementwiseToLinalgPass());
  first.addPass(createCanonicalizerPass());
  first.addPass(createCSEPass());
  first.addPass(bufferization::createOneShotBufferizePass());
  first.addPass(createCanonicalizerPass());
  OpPassManager &functions = first.nest<func::FuncOp>();
  functions.addPass(bufferization::createBufferHoistingPass());
  functions.addPass(bufferization::createBufferLoopHoistingPass());
  functions.addPass(
      bufferization::createPromoteBuffersToStackPass([](Value alloc) {
        return fitsStack(cast<MemRefType>(alloc.getType()));
      }));
  if (failed(first.run(module)) || failed(checkBuffers(module)))
    return failure();

  PassManager second(module.getContext());
  second.addNestedPass<func::FuncOp>(createConvertLinalgToLoopsPass());
  second.addPass(createCanonicalizerPass());
  second.addPass(createSCFToControlFlowPass());
  second.addPass(memref::createExpandStridedMetadataPass());
  second.addPass(createLowerAffinePass());
  ConvertFuncToLLVMPassOptions bare;
  bare.useBarePtrCallConv = true;
  second.addPass(createConvertMathToLLVMPass());
  second.addPass(createArithToLLVMConversionPass());
  second.addPass(createFinalizeMemRefToLLVMConversionPass());
  second.addPass(createConvertFuncToLLVMPass(bare));
  second.addPass(createConvertControlFlowToLLVMPass());
  second.addPass(createReconcileUnrealizedCastsPass());
  return second.run(module);
}

LogicalResult buildExpansion(MacroBuilder &m, StringRef name,
                             kernel::DeclOp decl, ModuleOp module) {
  auto params = decl.getParams();
  auto symbol = params.getAs<FlatSymbolRefAttr>("body");
  auto strides = params.getAs<DenseI64ArrayAttr>("strides");
  auto body = symbol ? module.lookupSymbol<func::FuncOp>(symbol.getAttr())
                     : func::FuncOp();
  if (!body || !strides)
    return decl.emitOpError("expected parameters 'body' and 'strides'");

  OwningOpRef<ModuleOp> scratch = ModuleOp::create(decl.getLoc());
  func::FuncOp function = body.clone();
  scratch->push_back(function);
  function.setPublic();
  if (failed(expandToLinalg(function)))
    return failure();
  passByMemref(function);
  if (failed(lower(*scratch)))
    return decl.emitOpError("has an expansion that cannot be lowered");

  if (!m.out.lookupSymbol(symbol.getAttr())) {
    // Tables of constants go with their function, under its name.
    for (auto global : scratch->getOps<LLVM::GlobalOp>()) {
      auto unique = StringAttr::get(
          global.getContext(), global.getSymName() + "_" + symbol.getValue());
      if (failed(SymbolTable::replaceAllSymbolUses(global, unique, *scratch)))
        return decl.emitOpError("has a table that cannot be renamed");
      global.setSymNameAttr(unique);
      global.setLinkage(LLVM::Linkage::Internal);
      m.out.push_back(global.clone());
    }
    auto lowered = scratch->lookupSymbol<LLVM::LLVMFuncOp>(symbol.getAttr());
    LLVM::LLVMFuncOp copy = lowered.clone();
    copy.setLinkage(LLVM::Linkage::Internal);
    m.out.push_back(copy);
  }
  auto callee = m.out.lookupSymbol<LLVM::LLVMFuncOp>(symbol.getAttr());

  const unsigned count = unsigned(strides.size());
  SmallVector<Value> arguments = m.beginMacro(name, count);
  m.loop(m.i64(0), arguments[count], 1, [&](Value t) {
    SmallVector<Value> operands;
    for (auto [pointer, stride] : llvm::zip(arguments, strides.asArrayRef()))
      operands.push_back(m.at(pointer, t, stride));
    operands.push_back(m.add(arguments[count + 1], t));
    LLVM::CallOp::create(m.b, m.loc, callee, operands);
  });
  m.finishFunction();
  return success();
}

} // namespace lfmc
