// SPDX-License-Identifier: Apache-2.0
#include "passes/Pipeline.h"
#include "passes/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void lfmc::buildGraphPipeline(OpPassManager &pm) {
  // One weight per input first: it leaves norms and swiglus with one user.
  pm.addPass(createStackLinears());

  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createFuseRopeCache());
  functions.addPass(createFuseConvGates());
  functions.addPass(createFuseSwiglu());
  functions.addPass(createFuseNorm());
  functions.addPass(createFuseResidual());

  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSymbolDCEPass());
}

void lfmc::buildQuantization(OpPassManager &pm,
                             llvm::ArrayRef<std::string> schemes,
                             bool bf16Rows) {
  QuantizeOptions options;
  options.bf16Rows = bf16Rows;
  options.schemes.assign(schemes.begin(), schemes.end());
  pm.addPass(createQuantize(options));
  pm.addPass(createCSEPass()); // one row for all linears that read it
}

void lfmc::buildKernelPipeline(OpPassManager &pm, llvm::StringRef target,
                               bool pinned, const Tuner *tuner) {
  SelectKernelsOptions options;
  options.target = target.str();
  options.pinned = pinned;
  pm.addPass(createSplitPrompt());
  pm.addPass(createSelectKernels(options, tuner));
  pm.addPass(createCSEPass());
  pm.addPass(createSymbolDCEPass());
  pm.addPass(createAssignOffsets());
  pm.addPass(createPlanMemory());
}
