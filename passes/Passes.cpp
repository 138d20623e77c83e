// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/Pipeline.h"

#include "mlir/Pass/PassRegistry.h"

namespace lfmc {
namespace {
#define GEN_PASS_REGISTRATION
#include "passes/Passes.h.inc"
} // namespace

void registerLfmcPasses() {
  registerGeneratedPasses();
  mlir::PassPipelineRegistration<>(
      "lfmc-graph", "stack and fuse: what happens before kernels are chosen",
      buildGraphPipeline);
  mlir::PassPipelineRegistration<>(
      "lfmc-kernel", "choose kernels for the host and plan memory",
      [](mlir::OpPassManager &pm) { buildKernelPipeline(pm, "host"); });
}

} // namespace lfmc
