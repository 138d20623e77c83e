// SPDX-License-Identifier: Apache-2.0
//
// lfmc-plan-memory: see Passes.td. Functions are straight lines of
// destination-passing calls, so liveness over phases is all the analysis there
// is: no aliasing, no copies to insert.
#include "passes/Passes.h"
#include "passes/plan/Arena.h"

#include "dialects/kernel/Kernel.h"
#include "dialects/lfm2/Storage.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;

namespace lfmc {
#define GEN_PASS_DEF_PLANMEMORY
#include "passes/Passes.h.inc"

namespace {

using kernel::Space;

/// Where a tensor value lies: a column window of a root buffer.
struct Place {
  Value root;         ///< argument, lfm2.param or a call's fresh result
  int64_t column = 0; ///< first column, for slices
  int64_t stride = 0; ///< row stride, for slices; 0: dense
};

/// The values whose buffers a call gets: inputs, then for each out the state or
/// the fresh result.
SmallVector<Value> buffersOf(kernel::CallOp call) {
  SmallVector<Value> values(call.getInputs());
  values.append(call.result_begin(), call.result_end());
  return values;
}

/// Bytes of a row of quantized activations.
std::optional<int64_t> rowBytes(RankedTensorType type) {
  auto quantized = dyn_cast_or_null<lfm2::QuantizedAttr>(type.getEncoding());
  if (!quantized)
    return std::nullopt;
  return lfm2::quantizedRowBytes(type.getDimSize(1), quantized);
}

class FunctionPlanner {
public:
  FunctionPlanner(func::FuncOp function, ModuleOp module)
      : function(function), module(module) {}

  LogicalResult run();
  int64_t arenaBytes = 0;

private:
  FailureOr<Place> place(Value value);
  LogicalResult checkStates();
  void formPhases();
  LogicalResult assignSpaces();
  int64_t bytesOf(Value root);
  FailureOr<Value> buffer(Value value, OpBuilder &builder);
  LogicalResult rewrite();

  func::FuncOp function;
  ModuleOp module;
  SmallVector<SmallVector<kernel::CallOp>> phases;
  DenseMap<Value, std::pair<Space, int64_t>> roots;
};

FailureOr<Place> FunctionPlanner::place(Value value) {
  if (auto call = value.getDefiningOp<kernel::CallOp>()) {
    // Each fresh result is a buffer of its own, also where CSE has merged the
    // tensor.empty's that stand for them.
    Value init = call.getInits()[cast<OpResult>(value).getResultNumber()];
    return init.getDefiningOp<tensor::EmptyOp>() ? Place{value} : place(init);
  }
  auto slice = value.getDefiningOp<tensor::ExtractSliceOp>();
  if (!slice)
    return Place{value};
  FailureOr<Place> source = place(slice.getSource());
  auto type = slice.getSourceType();
  bool columns = slice.getStaticOffsets().size() == 2 &&
                 slice.getStaticOffset(0) == 0 &&
                 !ShapedType::isDynamic(slice.getStaticOffset(1)) &&
                 llvm::all_of(slice.getStaticStrides(),
                              [](int64_t s) { return s == 1; }) &&
                 slice.getType().getRank() == 2;
  if (failed(source) || !columns)
    return slice.emitOpError("expected a slice of columns");
  if (source->stride == 0)
    source->stride = type.getDimSize(1);
  source->column += slice.getStaticOffset(1);
  return source;
}

/// A state is updated in place, so its old value must not be read after the
/// call that updates it, and a returned state must lie in the state's own
/// buffer.
LogicalResult FunctionPlanner::checkStates() {
  auto calls = function.getOps<kernel::CallOp>();
  for (kernel::CallOp call : calls)
    for (Value init : call.getInits()) {
      if (init.getDefiningOp<tensor::EmptyOp>())
        continue;
      for (Operation *user : init.getUsers())
        if (user != call && call->isBeforeInBlock(user)) {
          InFlightDiagnostic diag =
              user->emitOpError("reads a state that was updated before: this "
                                "would need a copy of the state");
          diag.attachNote(call.getLoc()) << "updated here";
          return diag;
        }
    }
  auto ret = cast<func::ReturnOp>(function.front().getTerminator());
  for (OpOperand &operand : ret->getOpOperands()) {
    auto symbol = function.getResultAttrOfType<FlatSymbolRefAttr>(
        operand.getOperandNumber(), "lfm2.state");
    if (!symbol)
      continue;
    FailureOr<Place> at = place(operand.get());
    auto argument = succeeded(at) ? dyn_cast<BlockArgument>(at->root) : nullptr;
    if (!argument || function.getArgAttrOfType<FlatSymbolRefAttr>(
                         argument.getArgNumber(), "lfm2.state") != symbol) {
      InFlightDiagnostic diag = ret->emitOpError("returns as ")
                                << symbol
                                << " what is not the state updated in place";
      if (Operation *state = module.lookupSymbol(symbol.getAttr()))
        diag.attachNote(state->getLoc()) << "state declared here";
      diag.attachNote(operand.get().getLoc()) << "value from here";
      return diag;
    }
  }
  return success();
}

/// Calls run in order; one joins the phase before it unless it depends on a
/// call there that is shared by the team.
void FunctionPlanner::formPhases() {
  DenseSet<Operation *> shared; // calls of the current phase, not replicated
  SmallVector<kernel::CallOp> front, back;
  auto close = [&] {
    front.append(back);
    if (!front.empty())
      phases.push_back(front);
    front.clear();
    back.clear();
    shared.clear();
  };
  auto producer = [](Value value) {
    while (auto slice = value.getDefiningOp<tensor::ExtractSliceOp>())
      value = slice.getSource();
    return value.getDefiningOp();
  };
  for (auto call : function.getOps<kernel::CallOp>()) {
    bool joins = true;
    for (Value operand : call.getOperands()) {
      joins &= !shared.contains(producer(operand));
    }
    // Whoever reads a state before its update must be a phase ahead of it.
    for (Value init : call.getInits())
      for (Operation *user : init.getUsers())
        joins &= user == call || !shared.contains(user);
    if (!joins)
      close();
    (call.getReplicated() ? front : back).push_back(call);
    if (!call.getReplicated())
      shared.insert(call);
  }
  close();
}

int64_t FunctionPlanner::bytesOf(Value root) {
  auto type = cast<RankedTensorType>(root.getType());
  auto maxTokens = function->getAttrOfType<IntegerAttr>("lfm2.max_tokens");
  if (auto quantized = rowBytes(type))
    return *quantized *
           (type.isDynamicDim(0) ? maxTokens.getInt() : type.getDimSize(0));
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  for (int64_t size : type.getShape())
    bytes *= ShapedType::isDynamic(size) ? maxTokens.getInt() : size;
  return bytes;
}

LogicalResult FunctionPlanner::assignSpaces() {
  for (BlockArgument argument : function.getArguments()) {
    if (argument.getType().isIndex())
      continue;
    auto symbol = function.getArgAttrOfType<FlatSymbolRefAttr>(
        argument.getArgNumber(), "lfm2.state");
    if (!symbol) {
      roots[argument] = {Space::Input, 0};
      continue;
    }
    auto state = module.lookupSymbol<lfm2::StateOp>(symbol.getAttr());
    if (!state || !state.getOffset())
      return function.emitOpError("expected a placed lfm2.state ") << symbol;
    roots[argument] = {Space::State, *state.getOffset()};
  }
  for (auto param : function.getOps<lfm2::ParamOp>()) {
    auto weight = module.lookupSymbol<lfm2::WeightOp>(param.getWeight());
    if (!weight.getOffset())
      return param.emitOpError("expected a placed lfm2.weight");
    roots[param] = {Space::Weights, *weight.getOffset()};
  }

  auto ret = cast<func::ReturnOp>(function.front().getTerminator());
  for (OpOperand &operand : ret->getOpOperands()) {
    if (function.getResultAttr(operand.getOperandNumber(), "lfm2.state"))
      continue;
    FailureOr<Place> at = place(operand.get());
    if (failed(at))
      return failure();
    if (!at->root.getDefiningOp<kernel::CallOp>() || at->stride)
      return ret->emitOpError("expected result ")
             << operand.getOperandNumber() << " to be computed by a call";
    roots[at->root] = {Space::Output, 0};
  }

  Arena arena, stack;
  llvm::MapVector<Value, unsigned> inArena, onStack;
  for (auto [step, phase] : llvm::enumerate(phases))
    for (kernel::CallOp call : phase)
      for (Value operand : buffersOf(call)) {
        FailureOr<Place> at = place(operand);
        if (failed(at))
          return failure();
        if (roots.contains(at->root))
          continue;
        // The out of a replicated call is each thread's own.
        auto producer = at->root.getDefiningOp<kernel::CallOp>();
        if (!producer)
          return call.emitOpError("reads a value that no call computes");
        bool own = producer.getReplicated();
        auto [entry, fresh] =
            (own ? onStack : inArena).try_emplace(at->root, 0);
        Arena &owner = own ? stack : arena;
        if (fresh)
          entry->second = owner.add(bytesOf(at->root), step, step);
        else
          owner.extend(entry->second, step);
      }
  arena.commit();
  stack.commit();
  for (auto [root, index] : inArena)
    roots[root] = {Space::Arena, arena.offset(index)};
  for (auto [root, index] : onStack)
    roots[root] = {Space::Stack, stack.offset(index)};
  arenaBytes = arena.size();
  Builder builder(function.getContext());
  function->setAttr("kernel.stack_bytes",
                    builder.getI64IntegerAttr(stack.size()));
  function->setAttr("kernel.arena_bytes",
                    builder.getI64IntegerAttr(arenaBytes));
  return success();
}

FailureOr<Value> FunctionPlanner::buffer(Value value, OpBuilder &builder) {
  FailureOr<Place> at = place(value);
  if (failed(at))
    return failure();
  auto [space, offset] = roots.lookup(at->root);
  auto type = cast<RankedTensorType>(value.getType());
  MemRefLayoutAttrInterface layout;
  if (at->stride)
    layout = StridedLayoutAttr::get(builder.getContext(), 0, {at->stride, 1});
  Type element = type.getElementType();
  SmallVector<int64_t> shape(type.getShape());
  if (auto quantized = rowBytes(type)) {
    element = builder.getI8Type();
    shape[1] = *quantized;
  }
  if (isa_and_nonnull<lfm2::QuantizedCacheAttr>(type.getEncoding())) {
    element = builder.getI8Type();
    shape = {int64_t(lfm2::stateBytes(type))};
  }
  if (space == Space::Weights) { // bytes: the encoding says what they mean
    element = builder.getI8Type();
    auto weight = module.lookupSymbol<lfm2::WeightOp>(
        at->root.getDefiningOp<lfm2::ParamOp>().getWeight());
    shape = {int64_t(lfm2::weightBytes(weight.getType()))};
  }
  return kernel::BufferOp::create(
             builder, value.getLoc(), MemRefType::get(shape, element, layout),
             kernel::SpaceAttr::get(builder.getContext(), space),
             builder.getI64IntegerAttr(offset + at->column * 4))
      .getResult();
}

LogicalResult FunctionPlanner::rewrite() {
  Block *block = &function.front();
  auto ret = cast<func::ReturnOp>(block->getTerminator());
  OpBuilder builder(ret);
  for (auto &phase : phases) {
    SmallVector<SmallVector<Value>> operands(phase.size());
    for (auto [index, call] : llvm::enumerate(phase))
      for (Value operand : buffersOf(call)) {
        FailureOr<Value> at = buffer(operand, builder);
        if (failed(at))
          return failure();
        operands[index].push_back(*at);
      }
    auto op = kernel::PhaseOp::create(builder, phase.front().getLoc());
    OpBuilder inside = OpBuilder::atBlockEnd(&op.getBody().emplaceBlock());
    for (auto [call, list] : llvm::zip(phase, operands)) {
      size_t inputs = call.getInputs().size();
      kernel::CallOp::create(inside, call.getLoc(), TypeRange(),
                             call.getCalleeAttr(), call.getReplicatedAttr(),
                             ArrayRef(list).take_front(inputs),
                             ArrayRef(list).drop_front(inputs));
    }
  }
  func::ReturnOp::create(builder, ret.getLoc());
  ret.erase();
  // What is left of the tensor form: uses come after definitions.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*block)))
    if (!isa<kernel::PhaseOp, kernel::BufferOp, func::ReturnOp>(op))
      op.erase();
  block->eraseArguments(0, block->getNumArguments());
  function.setType(builder.getFunctionType({}, {}));
  function.removeArgAttrsAttr();
  function.removeResAttrsAttr();
  return success();
}

LogicalResult FunctionPlanner::run() {
  if (!function->hasAttrOfType<IntegerAttr>("lfm2.max_tokens"))
    return function.emitOpError("expected the attribute lfm2.max_tokens");
  if (!function.getBody().hasOneBlock())
    return function.emitOpError("expected a single block");
  if (failed(checkStates()))
    return failure();
  formPhases();
  if (failed(assignSpaces()))
    return failure();
  return rewrite();
}

struct PlanMemory : impl::PlanMemoryBase<PlanMemory> {
  void runOnOperation() override {
    int64_t arenaBytes = 0;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isPrivate()) // bodies of expanded kernels
        continue;
      FunctionPlanner planner(function, getOperation());
      if (failed(planner.run()))
        return signalPassFailure();
      arenaBytes = std::max(arenaBytes, planner.arenaBytes);
    }
    getOperation()->setAttr(
        "kernel.arena_bytes",
        Builder(&getContext()).getI64IntegerAttr(arenaBytes));
  }
};

} // namespace
} // namespace lfmc
