// SPDX-License-Identifier: Apache-2.0
//
// The lfm2 dialect: what an LFM2 model computes. See Lfm2Ops.td.
#ifndef LFMC_DIALECTS_LFM2_LFM2_H
#define LFMC_DIALECTS_LFM2_LFM2_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/lfm2/Lfm2Dialect.h.inc"
#include "dialects/lfm2/Lfm2Enums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/lfm2/Lfm2Attrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/lfm2/Lfm2Ops.h.inc"

#endif // LFMC_DIALECTS_LFM2_LFM2_H
