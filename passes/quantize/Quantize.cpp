// SPDX-License-Identifier: Apache-2.0
//
// lfmc-quantize: see Passes.td.
#include "passes/Passes.h"

#include "llvm/Support/GlobPattern.h"

using namespace mlir;

namespace lfmc {
#define GEN_PASS_DEF_QUANTIZE
#include "passes/Passes.h.inc"

namespace {

using lfm2::StoredAttr;
using lfm2::StoredKind;

/// Set on the weights of linears: what schemes call them.
constexpr StringLiteral groupAttrName = "lfm2.group";

/// "pattern=kind/block", parsed.
struct Scheme {
  StringRef text, group;
  std::optional<llvm::GlobPattern> glob;
  StoredAttr stored; ///< null: keep
  bool used = false;

  bool matches(StringRef name, StringRef nameGroup) const {
    return group == "*" || group == nameGroup || (glob && glob->match(name));
  }
};

struct Quantize : impl::QuantizeBase<Quantize> {
  using QuantizeBase::QuantizeBase;

  void runOnOperation() override;

private:
  LogicalResult parseSchemes();
  LogicalResult parseKind(StringRef text, Scheme &scheme);
  StringRef groupOf(lfm2::WeightOp weight) const;
  StoredAttr wanted(lfm2::WeightOp weight);
  lfm2::WeightOp weightOf(Value value);
  void retype(lfm2::WeightOp weight, StoredAttr stored);
  void quantizeInput(Operation *op, RankedTensorType rows);
  void quantize(Operation *op);

  SmallVector<Scheme> parsed;
  DenseSet<Operation *> embeddings;
};

LogicalResult Quantize::parseKind(StringRef text, Scheme &scheme) {
  auto [kind, block] = text.split('/');
  int64_t columns = 32;
  std::optional<StoredKind> stored = lfm2::symbolizeStoredKind(kind);
  bool keep = text == "keep";
  if (!keep && (!stored || *stored < StoredKind::Q8 ||
                (text.contains('/') &&
                 (block.getAsInteger(10, columns) ||
                  (columns != 32 && columns != 64 && columns != 128)))))
    return emitError(getOperation().getLoc())
           << "unknown quantization '" << text << "' in '" << scheme.text
           << "': expected q4, q4m, q6 or q8, with /64 or /128 for larger "
              "blocks, or keep";
  if (!keep)
    scheme.stored = StoredAttr::get(&getContext(), *stored, columns, {});
  return success();
}

LogicalResult Quantize::parseSchemes() {
  parsed.clear();
  for (const std::string &text : schemes) {
    Scheme scheme;
    scheme.text = text;
    auto [left, right] = StringRef(text).split('=');
    bool named = StringRef(text).contains('=');
    if (failed(parseKind(named ? right : left, scheme)))
      return failure();
    scheme.group = named ? left : "*";
    if (named && !llvm::is_contained(
                     {"head", "attention", "conv", "ffn", "experts"}, left)) {
      llvm::Expected<llvm::GlobPattern> glob = llvm::GlobPattern::create(left);
      if (!glob)
        return emitError(getOperation().getLoc())
               << "bad pattern in '" << text
               << "': " << llvm::toString(glob.takeError());
      scheme.glob = std::move(*glob);
    }
    parsed.push_back(std::move(scheme));
  }
  return success();
}

StringRef Quantize::groupOf(lfm2::WeightOp weight) const {
  // The embedding's matrix is the head's: what gathers rows of it says so.
  if (embeddings.contains(weight) || weight.getSymName().starts_with("lm_head"))
    return "head";
  // The module that the checkpoint's tensors belong to.
  auto source = dyn_cast<lfm2::SourceAttr>(weight.getSource());
  StringRef name = source && !source.getTensors().empty()
                       ? source.getTensors().front().getValue()
                       : StringRef();
  return name.contains(".conv.")        ? "conv"
         : name.contains(".self_attn.") ? "attention"
         : name.contains(".experts.")   ? "experts"
                                        : "ffn";
}

StoredAttr Quantize::wanted(lfm2::WeightOp weight) {
  StoredAttr stored;
  StringRef group = groupOf(weight);
  for (Scheme &scheme : parsed)
    if (scheme.matches(weight.getSymName(), group)) {
      scheme.used = true;
      stored = scheme.stored;
    }
  return stored;
}

lfm2::WeightOp Quantize::weightOf(Value value) {
  auto param = value.getDefiningOp<lfm2::ParamOp>();
  return param ? getOperation().lookupSymbol<lfm2::WeightOp>(param.getWeight())
               : lfm2::WeightOp();
}

void Quantize::retype(lfm2::WeightOp weight, StoredAttr stored) {
  auto type = cast<RankedTensorType>(weight.getType());
  type = RankedTensorType::get(type.getShape(), type.getElementType(), stored);
  weight.setType(type);
  getOperation().walk([&](lfm2::ParamOp param) {
    if (param.getWeight() == weight.getSymName())
      param.getResult().setType(type);
  });
}

/// The row is quantized once, its norm included; CSE shares it between linears.
void Quantize::quantizeInput(Operation *op, RankedTensorType rows) {
  OpBuilder b(op);
  auto linear = dyn_cast<lfm2::LinearOp>(op);
  auto row =
      lfm2::QuantizeOp::create(b, op->getLoc(), rows, op->getOperand(0),
                               linear ? linear.getNorm() : Value(),
                               linear ? linear.getEpsAttr() : FloatAttr());
  op->setOperand(0, row);
  if (!linear)
    return;
  linear.getNormMutable().clear();
  linear.removeEpsAttr();
}

/// A linear, or those of experts: its rows are operand 0, its weight operand 1.
void Quantize::quantize(Operation *op) {
  lfm2::WeightOp weight = weightOf(op->getOperand(1));
  // A router decides between experts that may be close: it stays f32.
  if (!weight || llvm::any_of(op->getUsers(), llvm::IsaPred<lfm2::RouteOp>))
    return;
  auto type = cast<RankedTensorType>(weight.getType());
  auto stored = cast<StoredAttr>(type.getEncoding());
  weight->setAttr(groupAttrName,
                  StringAttr::get(&getContext(), groupOf(weight)));
  StoredAttr next = wanted(weight);
  if (next && type.getDimSize(1) % next.getBlock())
    op->emitRemark("stays ") << stringifyStoredKind(stored.getKind())
                             << ": a row of " << type.getDimSize(1)
                             << " columns has no blocks of " << next.getBlock();
  else if (next && next != stored)
    retype(weight, stored = next);
  auto rows = cast<RankedTensorType>(op->getOperand(0).getType());
  if (stored.isQuantized())
    quantizeInput(
        op, RankedTensorType::get(rows.getShape(), rows.getElementType(),
                                  lfm2::QuantizedAttr::get(&getContext(), 32)));
  else if (bf16Rows && isa<lfm2::LinearOp>(op) &&
           stored.getKind() == StoredKind::BF16 && type.getDimSize(1) % 2 == 0)
    quantizeInput(op, RankedTensorType::get(rows.getShape(),
                                            BFloat16Type::get(&getContext())));
}

void Quantize::runOnOperation() {
  if (failed(parseSchemes()))
    return signalPassFailure();
  embeddings.clear();
  getOperation().walk([&](lfm2::EmbedOp embed) {
    embeddings.insert(weightOf(embed.getTable()));
  });
  SmallVector<Operation *> linears;
  getOperation().walk([&](Operation *op) {
    if (isa<lfm2::LinearOp, lfm2::ExpertsOp>(op))
      linears.push_back(op);
  });
  for (Operation *op : linears)
    quantize(op);
  for (const Scheme &scheme : parsed)
    if (!scheme.used) {
      emitError(getOperation().getLoc())
          << "'" << scheme.text << "' matches no weight of a linear";
      return signalPassFailure();
    }
}

} // namespace
} // namespace lfmc
