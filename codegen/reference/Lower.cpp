// SPDX-License-Identifier: Apache-2.0
#include "codegen/reference/Lower.h"

#include "dialects/Register.h"
#include "dialects/lfm2/Lfm2.h"
#include "passes/expand/Expand.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotModuleBufferize.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/TargetSelect.h"

using namespace mlir;
using namespace lfmc;

void reference::registerLowering(MLIRContext &context) {
  static bool once = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  (void)once;
  DialectRegistry registry;
  registerLfmcDialects(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
}

// Fusions list the parts of a location in program order: the last is that of
// the op whose value is left.
static bool isNamed(Location loc, StringRef name) {
  while (auto fused = dyn_cast<FusedLoc>(loc)) {
    if (fused.getLocations().empty())
      return false;
    loc = fused.getLocations().back();
  }
  auto named = dyn_cast<NameLoc>(loc);
  return named && named.getName() == name;
}

static bool isFloatMatrix(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.getRank() == 2 &&
         isa<FloatType>(tensor.getElementType());
}

std::vector<std::string> reference::tapValues(func::FuncOp function,
                                              ArrayRef<std::string> names) {
  std::vector<std::string> found;
  Operation *terminator = function.front().getTerminator();
  SmallVector<Value> results(terminator->getOperands());
  for (const std::string &name : names) {
    Value last;
    for (Operation &op : function.front())
      if (!isa<lfm2::ParamOp>(op) && op.getNumResults() &&
          isFloatMatrix(op.getResult(0).getType()) &&
          isNamed(op.getLoc(), name))
        last = op.getResult(0);
    if (!last)
      continue;
    results.push_back(last);
    found.push_back(name);
  }
  terminator->setOperands(results);
  function.setType(FunctionType::get(function.getContext(),
                                     function.getArgumentTypes(),
                                     terminator->getOperandTypes()));
  // One attribute dictionary per result, or none at all.
  if (function.getResAttrsAttr())
    function.removeResAttrsAttr();
  return found;
}

std::vector<std::string> reference::weightsToArguments(func::FuncOp function) {
  std::vector<std::string> symbols;
  llvm::StringMap<Value> arguments;
  SmallVector<lfm2::ParamOp> params;
  function.walk([&](lfm2::ParamOp param) { params.push_back(param); });
  Builder builder(function.getContext());
  auto readOnly = builder.getDictionaryAttr(builder.getNamedAttr(
      "bufferization.writable", builder.getBoolAttr(false)));
  for (lfm2::ParamOp param : params) {
    Value &argument = arguments[param.getWeight()];
    if (!argument) {
      unsigned index = function.getNumArguments();
      (void)function.insertArgument(index, param.getType(), readOnly,
                                    param.getLoc());
      argument = function.getArgument(index);
      symbols.push_back(param.getWeight().str());
    }
    param.replaceAllUsesWith(argument);
    param.erase();
  }
  return symbols;
}

static LogicalResult bufferize(ModuleOp module) {
  bufferization::OneShotBufferizationOptions options;
  options.bufferizeFunctionBoundaries = true;
  options.setFunctionBoundaryTypeConversion(
      bufferization::LayoutMapOption::IdentityLayoutMap);
  options.allowReturnAllocsFromLoops = true;
  // Plain calls of malloc tell LLVM that buffers do not overlap; rounded
  // addresses would hide it.
  options.bufferAlignment = 0;
  // memref.copy of strided buffers would become a call into MLIR's runtime.
  options.memCpyFn = [](OpBuilder &builder, Location loc, Value from,
                        Value to) -> LogicalResult {
    linalg::CopyOp::create(builder, loc, from, to);
    return success();
  };
  bufferization::BufferizationState state;
  return bufferization::runOneShotModuleBufferize(module, options, state);
}

LogicalResult reference::lowerToLlvm(ModuleOp module) {
  MLIRContext *context = module.getContext();
  for (auto function : module.getOps<func::FuncOp>()) {
    if (failed(expandToLinalg(function)))
      return failure();
    function->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(),
                      UnitAttr::get(context));
  }
  PassManager tensors(context);
  tensors.addPass(createConvertElementwiseToLinalgPass());
  tensors.addPass(createCanonicalizerPass());
  tensors.addPass(createCSEPass());
  if (failed(tensors.run(module)) || failed(bufferize(module)))
    return failure();

  SmallVector<memref::CopyOp> copies;
  module.walk([&](memref::CopyOp copy) { copies.push_back(copy); });
  for (memref::CopyOp copy : copies) {
    OpBuilder builder(copy);
    linalg::CopyOp::create(builder, copy.getLoc(), copy.getSource(),
                           copy.getTarget());
    copy.erase();
  }

  PassManager loops(context);
  loops.addPass(createConvertLinalgToLoopsPass());
  loops.addPass(createCanonicalizerPass());
  loops.addPass(memref::createExpandStridedMetadataPass());
  loops.addPass(createLowerAffinePass());
  loops.addPass(createSCFToControlFlowPass());
  loops.addPass(createConvertMathToLLVMPass());
  loops.addPass(createArithToLLVMConversionPass());
  loops.addPass(createFinalizeMemRefToLLVMConversionPass());
  loops.addPass(createConvertFuncToLLVMPass());
  loops.addPass(createConvertControlFlowToLLVMPass());
  loops.addPass(createReconcileUnrealizedCastsPass());
  return loops.run(module);
}
