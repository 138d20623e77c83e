// SPDX-License-Identifier: Apache-2.0
//
// lfmc-select-kernels: see Passes.td.
#include "passes/Passes.h"
#include "passes/select/Expansion.h"
#include "passes/select/Rewrite.h"
#include "targets/Kernels.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;

namespace lfmc {
#define GEN_PASS_DEF_SELECTKERNELS
#include "passes/Passes.h.inc"

namespace {

using lfm2::PanelsAttr;

struct SelectKernels : impl::SelectKernelsBase<SelectKernels> {
  using SelectKernelsBase::SelectKernelsBase;
  SelectKernels(const SelectKernelsOptions &options, const Tuner *tuner)
      : SelectKernelsBase(options), tuner(tuner) {}

  void runOnOperation() override;

private:
  std::optional<Kernel> match(Operation *op);
  void splitNorms();
  void chooseLayouts();
  LogicalResult keepLayouts();
  bool cachesMatch();
  void setLayout(lfm2::WeightOp weight, PanelsAttr layout);
  void setCacheLayouts();

  llvm::Error readRecords();

  const Target *machine = nullptr;
  const Tuner *tuner = nullptr;             ///< given by the caller
  std::shared_ptr<const TuningTable> table; ///< or read from a file
  DenseSet<Operation *> expanded;           ///< ops that no provider may take
};

/// The ops that become calls: everything that computes on tokens.
bool computes(Operation *op) {
  return op->getNumResults() > 0 &&
         !isa<lfm2::ParamOp, tensor::ExtractSliceOp, tensor::EmptyOp,
              tensor::DimOp, kernel::CallOp>(op) &&
         llvm::any_of(op->getResultTypes(), llvm::IsaPred<TensorType>);
}

std::optional<Kernel> SelectKernels::match(Operation *op) {
  if (expanded.contains(op))
    return {};
  return kernelFor(op, *machine, tuner ? tuner : table.get());
}

/// No f32 kernel has a norm prologue: the norm becomes a call of its own. For
/// one token every thread runs norms and quantizations before a linear, and the
/// choice of experts, for itself (cheaper than a barrier).
void SelectKernels::splitNorms() {
  getOperation().walk([](Operation *op) {
    bool small =
        isa<lfm2::RouteOp>(op) ||
        (isa<lfm2::RmsNormOp>(op) &&
         llvm::all_of(
             op->getUsers(),
             llvm::IsaPred<lfm2::LinearOp, lfm2::ExpertsOp, lfm2::QuantizeOp>));
    if (small &&
        cast<RankedTensorType>(op->getResult(0).getType()).getDimSize(0) == 1)
      op->setAttr("kernel.replicated", UnitAttr::get(op->getContext()));
  });
  getOperation().walk([](lfm2::QuantizeOp op) {
    if (op.getX().getType().getDimSize(0) == 1)
      op->setAttr("kernel.replicated", UnitAttr::get(op.getContext()));
  });
  getOperation().walk([](lfm2::LinearOp linear) {
    if (!linear.getNorm())
      return;
    OpBuilder builder(linear);
    auto norm = lfm2::RmsNormOp::create(builder, linear.getLoc(),
                                        linear.getX().getType(), linear.getX(),
                                        linear.getNorm(), linear.getEpsAttr());
    if (cast<RankedTensorType>(norm.getType()).getDimSize(0) == 1)
      norm->setAttr("kernel.replicated", builder.getUnitAttr());
    linear.getXMutable().assign(norm);
    linear.getNormMutable().clear();
    linear.removeEpsAttr();
  });
}

/// Attention and the cache writes agree on the layout of the caches: either all
/// of them have a kernel, or all are expanded.
bool SelectKernels::cachesMatch() {
  bool all = true;
  getOperation().walk([&](Operation *op) {
    if (isa<lfm2::CacheWriteOp>(op))
      all = false;
    else if (isa<lfm2::AttentionOp, lfm2::RopeCacheOp>(op))
      all &= match(op).has_value();
  });
  return all;
}

/// What the kernels of a cache agree on is noted at its symbol, for those who
/// must find positions in it (snapshots).
void SelectKernels::setCacheLayouts() {
  getOperation().walk([&](lfm2::RopeCacheOp op) {
    auto function = op->getParentOfType<func::FuncOp>();
    auto note = [&](Value cache, int64_t lanes) {
      auto argument = dyn_cast<BlockArgument>(cache);
      auto symbol = argument ? function.getArgAttrOfType<FlatSymbolRefAttr>(
                                   argument.getArgNumber(), "lfm2.state")
                             : nullptr;
      if (symbol)
        getOperation()
            .lookupSymbol<lfm2::StateOp>(symbol.getAttr())
            .setLayoutAttr(lfm2::CacheLayoutAttr::get(&getContext(), lanes));
    };
    note(op.getKCache(), keyCacheLanes);
    note(op.getVCache(), 1);
  });
}

void SelectKernels::setLayout(lfm2::WeightOp weight, PanelsAttr layout) {
  auto type = cast<RankedTensorType>(weight.getType());
  auto stored = cast<lfm2::StoredAttr>(type.getEncoding());
  type = RankedTensorType::get(
      type.getShape(), type.getElementType(),
      lfm2::StoredAttr::get(&getContext(), stored.getKind(), stored.getBlock(),
                            layout));
  weight.setType(type);
  getOperation().walk([&](lfm2::ParamOp param) {
    if (param.getWeight() == weight.getSymName())
      param.getResult().setType(type);
  });
}

/// A weight gets the layout that the kernels of all its users want. The gather
/// of a tied embedding takes whatever the head's product wants.
void SelectKernels::chooseLayouts() {
  llvm::MapVector<StringRef, SmallVector<Operation *>> users;
  getOperation().walk([&](Operation *op) {
    if (isa<lfm2::LinearOp, lfm2::ShortConvOp, lfm2::ExpertsOp>(op))
      if (auto param = op->getOperand(1).getDefiningOp<lfm2::ParamOp>())
        users[param.getWeight()].push_back(op);
  });
  for (auto &[name, ops] : users) {
    PanelsAttr layout;
    Operation *owner = nullptr;
    for (Operation *op : ops) {
      std::optional<Kernel> kernel = match(op);
      if (kernel && !owner) {
        layout = kernel->layout;
        owner = op;
      } else if (!kernel || kernel->layout != layout) {
        InFlightDiagnostic diag = op->emitRemark("reads @")
                                  << name << " in another layout than its "
                                  << "other users: all are expanded";
        if (owner)
          diag.attachNote(owner->getLoc()) << "other user here";
        owner = nullptr;
        break;
      }
    }
    if (owner)
      setLayout(cast<lfm2::WeightOp>(getOperation().lookupSymbol(name)),
                layout);
    else
      expanded.insert(ops.begin(), ops.end());
  }
}

/// A kernel that reads its weight in another layout than the pinned one is no
/// match; a pinned layout that nothing else reads is an error.
LogicalResult SelectKernels::keepLayouts() {
  WalkResult walk = getOperation().walk([&](Operation *op) {
    if (!isa<lfm2::LinearOp, lfm2::ShortConvOp, lfm2::ExpertsOp>(op))
      return WalkResult::advance();
    Value weight = op->getOperand(1);
    auto layout = cast<lfm2::StoredAttr>(
                      cast<RankedTensorType>(weight.getType()).getEncoding())
                      .getLayout();
    std::optional<Kernel> kernel = match(op);
    if (kernel && kernel->layout == layout)
      return WalkResult::advance();
    if (layout) {
      op->emitError("target ")
          << target << " has no kernel for the layout " << layout
          << " that the best target of this package gave the weight";
      return WalkResult::interrupt();
    }
    expanded.insert(op);
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

/// A file of records counts for the processor of its first one, so that a test
/// means the same on every machine.
llvm::Error SelectKernels::readRecords() {
  auto file = llvm::MemoryBuffer::getFile(records);
  if (!file)
    return llvm::createStringError("cannot read %s: %s", records.c_str(),
                                   file.getError().message().c_str());
  llvm::Expected<std::vector<TuningRecord>> list =
      parseRecords((*file)->getBuffer(), records);
  if (!list)
    return list.takeError();
  if (!list->empty())
    table = std::make_shared<TuningTable>(*list, *machine, list->front().cpu,
                                          list->front().version);
  return llvm::Error::success();
}

void SelectKernels::runOnOperation() {
  llvm::Expected<const Target *> found = findTarget(target);
  if (!found) {
    emitError(getOperation().getLoc()) << llvm::toString(found.takeError());
    return signalPassFailure();
  }
  machine = *found;
  if (!records.empty())
    if (llvm::Error error = readRecords()) {
      emitError(getOperation().getLoc()) << llvm::toString(std::move(error));
      return signalPassFailure();
    }
  splitNorms();
  if (cachesMatch())
    setCacheLayouts();
  else
    getOperation().walk([&](Operation *op) {
      if (isa<lfm2::AttentionOp, lfm2::RopeCacheOp>(op))
        expanded.insert(op);
    });
  if (!pinned)
    chooseLayouts();
  else if (failed(keepLayouts()))
    return signalPassFailure();

  CallRewriter rewriter(getOperation());
  SmallVector<Operation *> ops;
  for (auto function : getOperation().getOps<func::FuncOp>())
    for (Operation &op : function.getBody().front())
      if (computes(&op))
        ops.push_back(&op);
  for (Operation *op : ops) {
    std::optional<Kernel> kernel = match(op);
    if (!kernel) {
      FailureOr<Kernel> expansion = expandOp(op, getOperation());
      if (failed(expansion))
        return signalPassFailure();
      kernel = *expansion;
    }
    if (failed(rewriter.rewrite(op, *kernel)))
      return signalPassFailure();
  }
}

} // namespace

std::unique_ptr<Pass> createSelectKernels(const SelectKernelsOptions &options,
                                          const Tuner *tuner) {
  return std::make_unique<SelectKernels>(options, tuner);
}

} // namespace lfmc
