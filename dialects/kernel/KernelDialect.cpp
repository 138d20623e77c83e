// SPDX-License-Identifier: Apache-2.0
#include "dialects/kernel/Kernel.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace lfmc::kernel;

#include "dialects/kernel/KernelDialect.cpp.inc"
#include "dialects/kernel/KernelEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/kernel/KernelAttrs.cpp.inc"

void KernelDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/kernel/KernelAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/kernel/KernelOps.cpp.inc"
      >();
}

LogicalResult ChunksAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 int64_t fixed, int64_t tokens) {
  if (fixed < 1)
    return emitError() << "expected fixed >= 1, found " << fixed;
  if (tokens < 0)
    return emitError() << "expected tokens >= 0, found " << tokens;
  return success();
}
