// SPDX-License-Identifier: Apache-2.0
//
// lfmc-assign-offsets: see Passes.td.
#include "dialects/lfm2/Storage.h"
#include "passes/Passes.h"
#include "runtime/include/lfm/program.h"

using namespace mlir;

namespace lfmc {
#define GEN_PASS_DEF_ASSIGNOFFSETS
#include "passes/Passes.h.inc"

namespace {

struct AssignOffsets : impl::AssignOffsetsBase<AssignOffsets> {
  void runOnOperation() override {
    Builder builder(&getContext());
    uint64_t weights = LFM_WEIGHTS_DATA, state = 0;
    for (auto weight : getOperation().getOps<lfm2::WeightOp>()) {
      weight.setOffset(weights);
      weights =
          lfm2::alignStorage(weights + lfm2::weightBytes(weight.getType()));
    }
    for (auto op : getOperation().getOps<lfm2::StateOp>()) {
      op.setOffset(state);
      state = lfm2::alignStorage(state + lfm2::stateBytes(op.getType()));
    }
    getOperation()->setAttr("lfm2.weights_bytes",
                            builder.getI64IntegerAttr(weights));
    getOperation()->setAttr("lfm2.state_bytes",
                            builder.getI64IntegerAttr(state));
  }
};

} // namespace
} // namespace lfmc
