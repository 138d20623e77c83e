// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_TUNE_TASKS_H
#define LFMC_CODEGEN_TUNE_TASKS_H

#include "codegen/tune/Session.h"

#include "mlir/IR/BuiltinOps.h"

namespace lfmc::tune {

/// The distinct kernels of a program before kernel selection that `target` lets
/// be tuned, the costliest first. A decoded token costs the bytes of the
/// weights, a prompt's the products; that of the head counts for decoding only.
std::vector<Task> tasksOf(mlir::ModuleOp module, const Target &target);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_TASKS_H
