// SPDX-License-Identifier: Apache-2.0
#include "passes/calibrate/ObserveInputs.h"

#include "dialects/lfm2/Lfm2.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace lfmc {
namespace {

// Routers are not quantized.
bool isRouter(lfm2::LinearOp linear) {
  return !linear->use_empty() &&
         llvm::all_of(linear->getUsers(), llvm::IsaPred<lfm2::RouteOp>);
}

// Keeps the rows `x` that meet `weight` in `op`.
LogicalResult observe(Operation *op, Value x, Value weight,
                      func::FuncOp function, int64_t tokens) {
  auto param = weight.getDefiningOp<lfm2::ParamOp>();
  if (!param)
    return op->emitError("expected a weight that is an lfm2.param");
  Location loc = op->getLoc();
  OpBuilder builder(op);
  Value rows = x, norm;
  FloatAttr eps;
  if (auto linear = dyn_cast<lfm2::LinearOp>(op)) {
    norm = linear.getNorm();
    eps = linear.getEpsAttr();
  }
  // Weights that are stored quantized (GGUF) meet quantized rows; what is
  // observed is what those were.
  if (auto quantize = rows.getDefiningOp<lfm2::QuantizeOp>()) {
    rows = quantize.getX();
    norm = quantize.getNorm();
    eps = quantize.getEpsAttr();
  }
  if (norm)
    rows =
        lfm2::RmsNormOp::create(builder, loc, rows.getType(), rows, norm, eps);
  int64_t width = cast<RankedTensorType>(x.getType()).getDimSize(1);
  auto type = RankedTensorType::get({tokens, 1, width}, builder.getF32Type());
  OpBuilder top(function);
  std::string name = observedState(param.getWeight());
  if (function->getParentOfType<ModuleOp>().lookupSymbol(name))
    return op->emitError() << "the symbol @" << name << " is not free";
  lfm2::StateOp::create(top, loc, top.getStringAttr(name), top.getUnitAttr(),
                        TypeAttr::get(type), lfm2::CacheLayoutAttr(),
                        /*offset=*/IntegerAttr(),
                        /*sym_visibility=*/StringAttr());
  auto symbol = builder.getDictionaryAttr(builder.getNamedAttr(
      "lfm2.state", FlatSymbolRefAttr::get(builder.getContext(), name)));
  unsigned argument = function.getNumArguments();
  if (failed(function.insertArgument(argument, type, symbol, loc)) ||
      failed(function.insertResult(function.getNumResults(), type, symbol)))
    return failure();
  Value written = lfm2::CacheWriteOp::create(builder, loc, type, rows,
                                             function.getArgument(argument),
                                             function.getArgument(1));
  auto end = cast<func::ReturnOp>(function.front().getTerminator());
  end.getOperandsMutable().append(written);
  return success();
}

} // namespace

std::string observedState(llvm::StringRef weight) {
  return "observed." + weight.str();
}

LogicalResult observeInputs(ModuleOp module) {
  auto function = module.lookupSymbol<func::FuncOp>("prefill");
  auto tokens = function
                    ? function->getAttrOfType<IntegerAttr>("lfm2.max_tokens")
                    : IntegerAttr();
  if (!tokens)
    return module.emitError("expected a function @prefill with "
                            "lfm2.max_tokens");
  SmallVector<Operation *> readers;
  function.walk([&](Operation *op) {
    if (isa<lfm2::ExpertsOp>(op) ||
        (isa<lfm2::LinearOp>(op) && !isRouter(cast<lfm2::LinearOp>(op))))
      readers.push_back(op);
  });
  for (Operation *op : readers) {
    auto experts = dyn_cast<lfm2::ExpertsOp>(op);
    Value x = experts ? experts.getX() : cast<lfm2::LinearOp>(op).getX();
    Value weight =
        experts ? experts.getWeight() : cast<lfm2::LinearOp>(op).getWeight();
    if (failed(observe(op, x, weight, function, tokens.getInt())))
      return failure();
  }
  return success();
}

} // namespace lfmc
