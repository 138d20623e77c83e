// SPDX-License-Identifier: Apache-2.0
#include "passes/select/Rewrite.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;

namespace lfmc {

Value tiedOperand(Operation *op, unsigned index) {
  if (auto conv = dyn_cast<lfm2::ShortConvOp>(op))
    return index == 1 ? conv.getState() : Value();
  if (auto write = dyn_cast<lfm2::CacheWriteOp>(op))
    return write.getCache();
  if (auto rope = dyn_cast<lfm2::RopeCacheOp>(op))
    return index == 1   ? rope.getKCache()
           : index == 2 ? rope.getVCache()
                        : Value();
  return {};
}

SmallVector<Value> kernelInputs(Operation *op) {
  SmallVector<Value> inputs;
  for (Value operand : op->getOperands()) {
    bool tied = false;
    for (unsigned i = 0; i < op->getNumResults(); ++i)
      tied |= tiedOperand(op, i) == operand;
    if (isa<TensorType>(operand.getType()) && !tied)
      inputs.push_back(operand);
  }
  return inputs;
}

/// A readable name, made unique by a hash of all that the kernel depends on:
/// linear_bf16_n6144_k2048_t1_5b0c91.
static std::string kernelName(const Kernel &kernel, DictionaryAttr params) {
  std::string text;
  llvm::raw_string_ostream(text) << kernel.generator << params << kernel.chunks;
  std::string name = kernel.generator.str();
  auto append = [&](StringRef key, StringRef letter) {
    if (auto value = params.getAs<IntegerAttr>(key))
      name += "_" + letter.str() + llvm::utostr(value.getInt());
  };
  if (auto kind = params.getAs<IntegerAttr>("wtype"))
    name += "_" + stringifyStoredKind(lfm2::StoredKind(kind.getInt())).str();
  append("n", "n");
  append("k", "k");
  append("width", "w");
  append("tokens", "t");
  return name + "_" +
         llvm::utohexstr(llvm::xxh3_64bits(text) & 0xffffff, /*LowerCase=*/true,
                         6);
}

FlatSymbolRefAttr CallRewriter::declare(Location loc, const Kernel &kernel) {
  MLIRContext *context = module.getContext();
  auto params = DictionaryAttr::get(context, kernel.params);
  std::string name = kernelName(kernel, params);
  if (!module.lookupSymbol(name)) {
    OpBuilder builder(context);
    builder.setInsertionPoint(*module.getOps<func::FuncOp>().begin());
    kernel::DeclOp::create(builder, builder.getUnknownLoc(), name,
                           kernel.generator, params, kernel.chunks,
                           /*sym_visibility=*/builder.getStringAttr("private"));
  }
  return FlatSymbolRefAttr::get(context, name);
}

/// The table of cosines and sines is a weight like any other; equal ropes share
/// one.
Value CallRewriter::ropeTable(lfm2::RopeCacheOp op) {
  OpBuilder builder(op);
  lfm2::RopeAttr rope = op.getRope();
  int64_t positions =
      cast<RankedTensorType>(op.getKCache().getType()).getDimSize(0);
  auto source = lfm2::RopeTableAttr::get(op.getContext(), rope);
  auto type = RankedTensorType::get(
      {positions, rope.getDim()}, builder.getF32Type(),
      lfm2::StoredAttr::get(op.getContext(), lfm2::StoredKind::F32,
                            /*block=*/0, {}));
  lfm2::WeightOp table;
  for (auto weight : module.getOps<lfm2::WeightOp>())
    if (weight.getSource() == source && weight.getType() == type)
      table = weight;
  if (!table) {
    OpBuilder top(module.getContext());
    top.setInsertionPoint(*module.getOps<func::FuncOp>().begin());
    table = lfm2::WeightOp::create(top, op.getLoc(), "rope", type, source,
                                   /*offset=*/nullptr,
                                   /*sym_visibility=*/nullptr);
    SymbolTable(module).insert(table);
  }
  return lfm2::ParamOp::create(builder, op.getLoc(), type, table.getSymName());
}

LogicalResult CallRewriter::rewrite(Operation *op, const Kernel &kernel) {
  auto function = op->getParentOfType<func::FuncOp>();
  for (Value operand : op->getOperands())
    if (operand.getType().isIndex() &&
        !(isa<BlockArgument>(operand) &&
          cast<BlockArgument>(operand).getOwner() == &function.front()))
      return op->emitOpError("expected the position that is an argument of @")
             << function.getSymName();

  OpBuilder builder(op);
  SmallVector<Value> inputs = kernelInputs(op), inits;
  if (auto rope = dyn_cast<lfm2::RopeCacheOp>(op);
      rope && kernel.generator == "rope_cache")
    inputs.push_back(ropeTable(rope));
  if (kernel.combine) {
    Value parts = tensor::EmptyOp::create(builder, op->getLoc(), kernel.parts,
                                          ValueRange());
    auto call = kernel::CallOp::create(
        builder, op->getLoc(), kernel.parts, declare(op->getLoc(), kernel),
        /*replicated=*/UnitAttr(), inputs, parts);
    op->setAttr("kernel.replicated", builder.getUnitAttr());
    inputs.assign({call.getResult(0)});
  }
  const Kernel &last = kernel.combine ? *kernel.combine : kernel;
  for (OpResult result : op->getResults()) {
    if (Value tied = tiedOperand(op, result.getResultNumber())) {
      inits.push_back(tied);
      continue;
    }
    auto type = cast<RankedTensorType>(result.getType());
    SmallVector<Value> sizes;
    if (type.isDynamicDim(0))
      sizes.push_back(tensor::DimOp::create(builder, op->getLoc(),
                                            function.getArgument(0), 0));
    inits.push_back(
        tensor::EmptyOp::create(builder, op->getLoc(), type, sizes));
  }
  auto call = kernel::CallOp::create(
      builder, op->getLoc(), op->getResultTypes(), declare(op->getLoc(), last),
      op->getAttrOfType<UnitAttr>("kernel.replicated"), inputs, inits);
  op->replaceAllUsesWith(call.getResults());
  op->erase();
  return success();
}

} // namespace lfmc
