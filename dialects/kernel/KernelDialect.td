// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_DIALECTS_KERNEL_DIALECT_TD
#define LFMC_DIALECTS_KERNEL_DIALECT_TD

include "mlir/IR/OpBase.td"

def Kernel_Dialect : Dialect {
  let name = "kernel";
  let cppNamespace = "::lfmc::kernel";
  let summary = "How a program is computed";
  let description = [{
    A kernel is a declaration (generator and parameters); selecting it fixes the
    layout of its weights; calling it is destination-passing. On tensors calls are
    pure; after `lfmc-plan-memory` they work on memrefs at planned addresses,
    grouped in phases that a thread team runs chunk by chunk.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 0;
}

#endif // LFMC_DIALECTS_KERNEL_DIALECT_TD
