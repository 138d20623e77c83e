// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Plan.h"

#include "dialects/lfm2/Factors.h"
#include "dialects/lfm2/Storage.h"
#include "frontend/Errors.h"
#include "runtime/include/lfm/program.h"

#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace lfmc::pack {

Format formatOf(DType type) {
  switch (type) {
  case DType::BF16:
    return Format::BF16;
  case DType::F16:
    return Format::F16;
  case DType::Q4_0:
    return Format::Q4_0;
  case DType::Q4_1:
    return Format::Q4_1;
  case DType::Q5_0:
    return Format::Q5_0;
  case DType::Q8_0:
    return Format::Q8_0;
  case DType::Q4_K:
    return Format::Q4_K;
  case DType::Q5_K:
    return Format::Q5_K;
  case DType::Q6_K:
    return Format::Q6_K;
  default:
    return Format::F32;
  }
}

Blocks blocksOf(lfm2::StoredAttr stored) {
  if (!stored.isQuantized())
    return {};
  return {stored.getBlock(), int(stored.getBits()), stored.hasMinimum()};
}

namespace {

Format formatOf(lfm2::StoredKind kind) {
  switch (kind) {
  case lfm2::StoredKind::F32:
    return Format::F32;
  case lfm2::StoredKind::BF16:
    return Format::BF16;
  case lfm2::StoredKind::F16:
    return Format::F16;
  default:
    return Format::F32; // what codes are made of
  }
}

Expected<PlannedWeight> planStorage(lfm2::WeightOp op) {
  PlannedWeight weight;
  weight.name = op.getSymName().str();
  auto type = dyn_cast<mlir::RankedTensorType>(op.getType());
  auto stored =
      type ? dyn_cast_or_null<lfm2::StoredAttr>(type.getEncoding()) : nullptr;
  if (!stored || !type.hasStaticShape() || type.getRank() < 1 ||
      type.getRank() > 2)
    return makeError("weight @{}: expected a stored tensor of rank 1 or 2 and "
                     "static shape",
                     weight.name);
  weight.rows = type.getDimSize(0);
  weight.columns = type.getRank() == 2 ? type.getDimSize(1) : 1;
  weight.format = formatOf(stored.getKind());
  weight.blocks = blocksOf(stored);
  weight.rowFactors = lfm2::rowFactors(op).vec();
  weight.columnFactors = lfm2::columnFactors(op).vec();
  if (lfm2::PanelsAttr layout = stored.getLayout())
    weight.panels = {layout.getRows(), layout.getDepth(), layout.getHalves(),
                     layout.getRaised()};
  weight.offset = op.getOffset().value_or(0);
  weight.bytes = lfm2::weightBytes(type);
  raw_string_ostream text(weight.identity);
  text << weight.name << ':' << type << '=' << op.getSource() << '@'
       << weight.offset << '\n';
  return weight;
}

// The rows that a checkpoint tensor contributes, or an error that names it.
Expected<int64_t> rowsOf(const PlannedWeight &weight, const TensorInfo &info,
                         bool vector, const SafeTensors &tensors) {
  if (!isWeightDType(info.dtype))
    return makeError("tensor {} in {}: expected element type F32, F16 or BF16, "
                     "found {}",
                     inQuotes(info.name), tensors.filePath(info.file).str(),
                     dtypeName(info.dtype).str());
  ArrayRef<int64_t> shape = info.shape;
  bool fits =
      vector ? shape.size() == 1
             : (shape.size() == 2 || (shape.size() == 3 && shape[1] == 1)) &&
                   shape.back() == weight.columns;
  if (!fits)
    return makeError(
        "tensor {} in {}: expected shape [rows{}] for weight @{}, found {}",
        inQuotes(info.name), tensors.filePath(info.file).str(),
        vector ? "" : fmt::format(", {}", weight.columns), weight.name,
        shapeText(shape));
  return shape[0];
}

Error planSources(PlannedWeight &weight, lfm2::WeightOp op,
                  const WeightSource &source) {
  if (auto table = dyn_cast<lfm2::RopeTableAttr>(op.getSource())) {
    lfm2::RopeAttr rope = table.getRope();
    weight.theta = rope.getTheta().getValueAsDouble();
    if (rope.getDim() != weight.columns)
      return makeError("weight @{}: expected {} columns, the rope's dim, "
                       "found {}",
                       weight.name, rope.getDim(), weight.columns);
    return Error::success();
  }
  auto names = dyn_cast<lfm2::SourceAttr>(op.getSource());
  if (!names)
    return makeError("weight @{}: expected a source of checkpoint tensors or a "
                     "rope table",
                     weight.name);
  bool vector = cast<mlir::RankedTensorType>(op.getType()).getRank() == 1;
  int64_t rows = 0;
  for (mlir::StringAttr name : names.getTensors()) {
    const TensorInfo *info = source.find ? source.find(name.getValue())
                                         : source.tensors.find(name.getValue());
    if (!info)
      return makeError("weight @{}: the checkpoint has no tensor {}",
                       weight.name, inQuotes(name.getValue()));
    Expected<int64_t> more = rowsOf(weight, *info, vector, source.tensors);
    if (!more)
      return more.takeError();
    rows += *more;
    weight.sources.push_back(info);
  }
  if (rows != weight.rows)
    return makeError("weight @{}: expected {} rows, its sources have {}",
                     weight.name, weight.rows, rows);
  return Error::success();
}

Error checkOffsets(ArrayRef<PlannedWeight> weights) {
  // Far above any model, far below where sums of a few of them overflow.
  constexpr uint64_t limit = uint64_t(1) << 50;
  uint64_t end = LFM_WEIGHTS_DATA;
  for (const PlannedWeight &weight : weights) {
    if (weight.offset % lfm2::storageAlignment)
      return makeError("weight @{}: expected an offset that is a multiple of "
                       "{}, found {}",
                       weight.name, lfm2::storageAlignment, weight.offset);
    if (weight.offset < end)
      return makeError("weight @{}: offset {} overlaps what ends at {}",
                       weight.name, weight.offset, end);
    if (weight.offset > limit || weight.bytes > limit)
      return makeError("weight @{}: {} bytes at offset {} are beyond any file",
                       weight.name, weight.bytes, weight.offset);
    end = weight.offset + weight.bytes;
  }
  return Error::success();
}

Expected<std::vector<PlannedWeight>> plan(mlir::ModuleOp module,
                                          const WeightSource *source) {
  std::vector<PlannedWeight> weights;
  for (auto op : module.getOps<lfm2::WeightOp>()) {
    Expected<PlannedWeight> weight = planStorage(op);
    if (!weight)
      return weight.takeError();
    if (!op.getOffset())
      return makeError(
          "weight @{} has no offset: lfmc-assign-offsets has not run",
          weight->name);
    if (source)
      if (Error error = planSources(*weight, op, *source))
        return error;
    weights.push_back(std::move(*weight));
  }
  llvm::sort(weights,
             [](const auto &a, const auto &b) { return a.offset < b.offset; });
  if (Error error = checkOffsets(weights))
    return error;
  return weights;
}

} // namespace

Expected<std::vector<PlannedWeight>> planOffsets(mlir::ModuleOp module) {
  return plan(module, nullptr);
}

Expected<std::vector<PlannedWeight>> planWeights(mlir::ModuleOp module,
                                                 const WeightSource &source) {
  return plan(module, &source);
}

Expected<PlannedWeight> planWeight(lfm2::WeightOp op,
                                   const WeightSource &source) {
  Expected<PlannedWeight> weight = planStorage(op);
  if (weight)
    if (Error error = planSources(*weight, op, source))
      return std::move(error);
  return weight;
}

Matrix matrixOf(const PlannedWeight &weight, const SafeTensors &tensors) {
  Matrix matrix;
  matrix.columns = weight.columns;
  for (const TensorInfo *info : weight.sources)
    matrix.pieces.push_back(
        {tensors.bytes(*info).data(),
         info->numElements() / std::max<int64_t>(1, weight.columns),
         formatOf(info->dtype)});
  if (!weight.rowFactors.empty())
    matrix.rowFactors = weight.rowFactors.data();
  if (!weight.columnFactors.empty())
    matrix.columnFactors = weight.columnFactors.data();
  return matrix;
}

uint64_t fileBytes(ArrayRef<PlannedWeight> weights) {
  if (weights.empty())
    return LFM_WEIGHTS_DATA;
  return lfm2::alignStorage(weights.back().offset + weights.back().bytes);
}

} // namespace lfmc::pack
