// SPDX-License-Identifier: Apache-2.0
#include "dialects/Register.h"

#include "mlir/IR/Dialect.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Support/LLVM.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  lfmc::registerLfmcDialects(registry);
  return failed(mlir::MlirLspServerMain(argc, argv, registry));
}
