// SPDX-License-Identifier: Apache-2.0
//
// lfmc-split-prompt: see Passes.td.
#include "passes/Passes.h"

#include "dialects/lfm2/Lfm2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace lfmc {
#define GEN_PASS_DEF_SPLITPROMPT
#include "passes/Passes.h.inc"

namespace {

constexpr StringLiteral maxTokensName = "lfm2.max_tokens";

/// Whether a row of the result depends on the same row of the operands, on
/// caches, and of a short convolution on the rows before.
bool keepsRows(Operation *op) {
  return isa<lfm2::LinearOp, lfm2::QuantizeOp, lfm2::RmsNormOp,
             lfm2::RopeCacheOp, lfm2::AttentionOp, lfm2::ShortConvOp,
             lfm2::SwigluOp, lfm2::RouteOp, lfm2::ExpertsOp,
             tensor::ExtractSliceOp, arith::AddFOp, arith::MulFOp>(op);
}

/// Ops that stand for themselves in any function.
bool isSource(Operation *op) {
  return op->hasTrait<OpTrait::ConstantLike>() || isa<lfm2::ParamOp>(op);
}

/// Number of rows, as ops with dynamic rows ask for it.
bool isRowCount(Operation *op, Value ofRows) {
  auto dim = dyn_cast<tensor::DimOp>(op);
  return dim && dim.getSource() == ofRows && dim.getConstantIndex() == 0;
}

/// Where a function of many tokens can be cut: between the two no value of
/// rows is alive but `rows`, and what comes after fills no cache but `caches`.
class Cut {
public:
  explicit Cut(func::FuncOp function)
      : function(function),
        ret(cast<func::ReturnOp>(function.front().getTerminator())) {}
  bool find();
  int64_t lastRows() const { return needed; }
  func::FuncOp before();
  func::FuncOp after();

private:
  bool checkAfter();
  /// The state that result `index` returns.
  FlatSymbolRefAttr state(unsigned index) {
    return function.getResultAttrOfType<FlatSymbolRefAttr>(index, "lfm2.state");
  }
  BlockArgument argumentOf(FlatSymbolRefAttr symbol);

  func::FuncOp function;
  func::ReturnOp ret;
  lfm2::RopeCacheOp caches;
  Value rows;
  llvm::SetVector<Operation *> later;
  int64_t needed = 1; ///< of the last rows, for one row of the result
};

BlockArgument Cut::argumentOf(FlatSymbolRefAttr symbol) {
  for (BlockArgument argument : function.getArguments())
    if (function.getArgAttrOfType<FlatSymbolRefAttr>(argument.getArgNumber(),
                                                     "lfm2.state") == symbol)
      return argument;
  return {};
}

bool Cut::find() {
  lfm2::AttentionOp last;
  function.walk([&](lfm2::AttentionOp attention) { last = attention; });
  caches = last ? last.getKCache().getDefiningOp<lfm2::RopeCacheOp>()
                : lfm2::RopeCacheOp();
  if (!caches || last.getVCache() != caches.getNewV())
    return false;
  Value projected = caches.getK();
  while (auto slice = projected.getDefiningOp<tensor::ExtractSliceOp>())
    projected = slice.getSource();
  auto linear = projected.getDefiningOp<lfm2::LinearOp>();
  if (!linear)
    return false;
  rows = linear.getX();
  while (Operation *op = rows.getDefiningOp()) {
    if (!isa<lfm2::QuantizeOp, lfm2::RmsNormOp>(op))
      break;
    rows = op->getOperand(0);
  }
  return rows.getDefiningOp() && checkAfter();
}

bool Cut::checkAfter() {
  DenseSet<Value> alive = {rows};
  for (Operation &op : function.front().without_terminator()) {
    if (llvm::none_of(op.getOperands(),
                      [&](Value value) { return alive.contains(value); }))
      continue;
    later.insert(&op);
    alive.insert(op.result_begin(), op.result_end());
  }
  Value tokens = function.getArgument(0);
  auto isGiven = [&](Value value) {
    Operation *op = value.getDefiningOp();
    return alive.contains(value) || (!op && value != tokens) ||
           (op && (isSource(op) || isRowCount(op, tokens)));
  };
  for (Operation *op : later) {
    if (!keepsRows(op) || !llvm::all_of(op->getOperands(), isGiven))
      return false;
    if (auto conv = dyn_cast<lfm2::ShortConvOp>(op))
      needed += conv.getWeight().getType().getDimSize(1) - 1;
  }
  return alive.contains(ret.getOperand(0));
}

/// All rows up to `rows`, and the caches.
func::FuncOp Cut::before() {
  IRMapping map;
  auto clone = cast<func::FuncOp>(function->clone(map));
  clone.setName("prompt");
  Operation *end = clone.front().getTerminator();
  end->setOperand(0, map.lookup(rows));
  llvm::BitVector unchanged(ret.getNumOperands());
  for (unsigned i = 1; i < ret.getNumOperands(); ++i) {
    Operation *op = ret.getOperand(i).getDefiningOp();
    if (op && op != caches && later.contains(op))
      unchanged.set(i);
  }
  end->eraseOperands(unchanged);
  llvm::SmallVector<Type> types(function.getResultTypes());
  types[0] = rows.getType();
  clone.setType(
      FunctionType::get(clone.getContext(), clone.getArgumentTypes(), types));
  (void)clone.eraseResults(unchanged);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(clone.front())))
    if (isOpTriviallyDead(&op))
      op.erase();
  llvm::BitVector unused(clone.getNumArguments());
  for (BlockArgument argument : clone.getArguments())
    if (argument.use_empty() &&
        clone.getArgAttr(argument.getArgNumber(), "lfm2.state"))
      unused.set(argument.getArgNumber());
  (void)clone.eraseArguments(unused);
  return clone;
}

/// From `rows` on, for the last of them.
func::FuncOp Cut::after() {
  SmallVector<unsigned> states; // results
  SmallVector<Type> inputs = {rows.getType(),
                              IndexType::get(function.getContext())};
  SmallVector<Type> outputs = {ret.getOperand(0).getType()};
  for (unsigned i = 1; i < ret.getNumOperands(); ++i)
    if (Operation *op = ret.getOperand(i).getDefiningOp();
        op && later.contains(op)) {
      states.push_back(i);
      inputs.push_back(ret.getOperand(i).getType());
      outputs.push_back(ret.getOperand(i).getType());
    }
  OpBuilder b(function.getContext());
  auto end = func::FuncOp::create(b, function.getLoc(), "prompt_end",
                                  b.getFunctionType(inputs, outputs));
  end->setAttr(maxTokensName, b.getI64IntegerAttr(needed));
  b.setInsertionPointToStart(end.addEntryBlock());
  IRMapping map;
  map.map(rows, end.getArgument(0));
  map.map(function.getArgument(1), end.getArgument(1));
  for (auto [index, result] : llvm::enumerate(states)) {
    FlatSymbolRefAttr symbol = state(result);
    map.map(argumentOf(symbol), end.getArgument(2 + index));
    end.setArgAttr(2 + index, "lfm2.state", symbol);
    end.setResultAttr(1 + index, "lfm2.state", symbol);
  }
  Value count;
  for (Operation *op : later) {
    for (Value operand : op->getOperands()) {
      Operation *source = operand.getDefiningOp();
      if (map.contains(operand) || !source)
        continue;
      if (isSource(source)) {
        b.clone(*source, map);
        continue;
      }
      if (!count) {
        Value zero = arith::ConstantIndexOp::create(b, source->getLoc(), 0);
        count = tensor::DimOp::create(b, source->getLoc(), end.getArgument(0),
                                      zero);
      }
      map.map(operand, count);
    }
    b.clone(*op, map);
  }
  SmallVector<Value> results = {map.lookup(ret.getOperand(0))};
  for (unsigned result : states)
    results.push_back(map.lookup(ret.getOperand(result)));
  func::ReturnOp::create(b, ret.getLoc(), results);
  return end;
}

struct SplitPrompt : impl::SplitPromptBase<SplitPrompt> {
  void runOnOperation() override {
    auto prefill = getOperation().lookupSymbol<func::FuncOp>("prefill");
    if (!prefill || !prefill.getBody().hasOneBlock() ||
        prefill.getNumArguments() < 2 || getOperation().lookupSymbol("prompt"))
      return;
    Cut cut(prefill);
    auto most = prefill->getAttrOfType<IntegerAttr>(maxTokensName);
    if (!most || !cut.find() || cut.lastRows() >= most.getInt())
      return;
    SymbolTable symbols(getOperation());
    auto place = std::next(Block::iterator(prefill));
    symbols.insert(cut.before(), place);
    symbols.insert(cut.after(), place);
  }
};

} // namespace
} // namespace lfmc
