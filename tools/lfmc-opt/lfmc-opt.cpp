// SPDX-License-Identifier: Apache-2.0
#include "dialects/Register.h"
#include "passes/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  lfmc::registerLfmcDialects(registry);
  lfmc::registerLfmcPasses();
  mlir::registerTransformsPasses();
  mlir::bufferization::registerBufferizationPasses();
  mlir::memref::registerMemRefPasses();
  mlir::registerConvertLinalgToLoopsPass();
  mlir::registerSCFToControlFlowPass();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "lfmc optimiser\n", registry));
}
