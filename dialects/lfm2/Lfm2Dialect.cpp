// SPDX-License-Identifier: Apache-2.0
#include "dialects/lfm2/Lfm2.h"

#include "mlir/IR/DialectImplementation.h"
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
