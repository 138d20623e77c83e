// SPDX-License-Identifier: Apache-2.0
#include "passes/select/Expansion.h"

#include "passes/select/Rewrite.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;

namespace lfmc {

/// Whether dimension 0 of `value` counts tokens: it is neither a weight nor a
/// state.
static bool isRows(Operation *op, Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || value.getDefiningOp<lfm2::ParamOp>())
    return false;
  for (unsigned i = 0; i < op->getNumResults(); ++i)
    if (tiedOperand(op, i) == value)
      return false;
  if (auto attention = dyn_cast<lfm2::AttentionOp>(op))
    return value == attention.getQ();
  return true;
}

static RankedTensorType oneToken(RankedTensorType type) {
  SmallVector<int64_t> shape(type.getShape());
  shape[0] = 1;
  return RankedTensorType::get(shape, type.getElementType());
}

/// The type as it lies in memory, row-major: the encoding becomes the element.
static RankedTensorType inMemory(RankedTensorType type) {
  auto stored = dyn_cast_if_present<lfm2::StoredAttr>(type.getEncoding());
  if (!stored)
    return type;
  Builder builder(type.getContext());
  Type element =
      stored.getKind() == lfm2::StoredKind::BF16  ? Type(builder.getBF16Type())
      : stored.getKind() == lfm2::StoredKind::F16 ? Type(builder.getF16Type())
                                                  : Type(builder.getF32Type());
  return RankedTensorType::get(type.getShape(), element);
}

FailureOr<Kernel> expandOp(Operation *op, ModuleOp module) {
  for (Value operand : op->getOperands())
    if (auto type = dyn_cast<RankedTensorType>(operand.getType());
        type && isa_and_nonnull<lfm2::QuantizedCacheAttr>(type.getEncoding()))
      return op->emitOpError("has no kernel for a cache of q8 here: expected "
                             "f32 or f16");
  MLIRContext *context = op->getContext();
  Builder attrs(context);
  SmallVector<Value> inputs = kernelInputs(op);
  SmallVector<Type> arguments;
  SmallVector<int64_t> strides; // bytes from token to token; 0: whole
  auto bytes = [](RankedTensorType type) {
    return int64_t(type.getElementTypeBitWidth() / 8);
  };
  for (Value input : inputs) {
    auto type = cast<RankedTensorType>(input.getType());
    bool rows = isRows(op, input);
    arguments.push_back(rows ? oneToken(type) : inMemory(type));
    strides.push_back(
        rows ? (type.getRank() == 1 ? 1 : rowStride(input)) * bytes(type) : 0);
  }
  SmallVector<Type> results;
  for (OpResult result : op->getResults()) {
    auto type = cast<RankedTensorType>(result.getType());
    bool tied = bool(tiedOperand(op, result.getResultNumber()));
    if (!tied && type.getRank() != 2)
      return op->emitOpError("has no expansion: expected rows of tokens");
    results.push_back(tied ? type : oneToken(type));
    arguments.push_back(results.back());
    strides.push_back(tied ? 0 : type.getDimSize(1) * bytes(type));
  }
  arguments.push_back(attrs.getIndexType());

  OpBuilder builder(context);
  builder.setInsertionPointToEnd(module.getBody());
  auto function =
      func::FuncOp::create(builder, op->getLoc(), "expand",
                           attrs.getFunctionType(arguments, results));
  function.setPrivate();
  Block *block = function.addEntryBlock();
  builder.setInsertionPointToStart(block);
  IRMapping map;
  for (auto [input, argument] : llvm::zip(inputs, block->getArguments())) {
    Value value = argument;
    auto type = cast<RankedTensorType>(argument.getType());
    auto logical = cast<RankedTensorType>(input.getType());
    if (type.getElementType() != logical.getElementType())
      value = arith::ExtFOp::create(
          builder, op->getLoc(),
          RankedTensorType::get(type.getShape(), logical.getElementType()),
          value);
    map.map(input, value);
  }
  for (unsigned i = 0; i < op->getNumResults(); ++i)
    if (Value tied = tiedOperand(op, i))
      map.map(tied, block->getArgument(inputs.size() + i));
  for (Value operand : op->getOperands())
    if (operand.getType().isIndex())
      map.map(operand, block->getArguments().back());
  Operation *clone = builder.clone(*op, map);
  clone->removeAttr("kernel.replicated");
  for (auto [result, type] : llvm::zip(clone->getResults(), results))
    result.setType(type);
  func::ReturnOp::create(builder, op->getLoc(), clone->getResults());

  // Equal bodies share one function.
  std::string text;
  llvm::raw_string_ostream stream(text);
  function->print(stream, OpPrintingFlags().useLocalScope());
  std::string name =
      "expand_" + op->getName().stripDialect().str() + "_" +
      llvm::utohexstr(llvm::xxh3_64bits(text) & 0xffffff, true, 6);
  if (module.lookupSymbol(name))
    function.erase();
  else
    function.setSymName(name);

  Kernel kernel{"expand", {}, kernel::ChunksAttr::get(context, 1, 0), {}};
  kernel.params.push_back(
      attrs.getNamedAttr("body", FlatSymbolRefAttr::get(context, name)));
  kernel.params.push_back(
      attrs.getNamedAttr("strides", attrs.getDenseI64ArrayAttr(strides)));
  return kernel;
}

} // namespace lfmc
