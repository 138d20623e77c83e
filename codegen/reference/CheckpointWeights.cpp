// SPDX-License-Identifier: Apache-2.0
#include "codegen/reference/CheckpointWeights.h"

#include "codegen/pack/Dequantize.h"
#include "codegen/pack/Plan.h"
#include "codegen/pack/Rope.h"
#include "codegen/pack/RowQuantizer.h"
#include "dialects/lfm2/Factors.h"
#include "frontend/Errors.h"

using namespace mlir;
using namespace lfmc;

static pack::Format formatOf(lfm2::StoredKind kind) {
  return kind == lfm2::StoredKind::BF16  ? pack::Format::BF16
         : kind == lfm2::StoredKind::F16 ? pack::Format::F16
                                         : pack::Format::F32;
}

/// The values of codes that GGUF's blocks keep.
static void keepValues(const pack::Matrix &matrix, const pack::Blocks &blocks,
                       llvm::MutableArrayRef<float> values) {
  std::vector<int8_t> codes(matrix.columns);
  std::vector<pack::BlockScale> scales(matrix.columns / blocks.block);
  int64_t row = 0;
  for (const pack::Matrix::Piece &piece : matrix.pieces) {
    bool kept = pack::holdsCodes(piece.format, blocks);
    for (int64_t last = row + piece.rows; row < last; ++row) {
      if (!kept)
        continue;
      float *at = values.data() + row * matrix.columns;
      for (int64_t b = 0; b < int64_t(scales.size()); ++b)
        if (pack::keepCodes(
                piece.format, piece.data,
                ((row - last + piece.rows) * matrix.columns) / blocks.block + b,
                blocks, codes.data(), scales[b]))
          for (int64_t i = 0; i < blocks.block; ++i)
            at[b * blocks.block + i] = pack::blockValue(scales[b], codes[i]);
    }
  }
}

llvm::Error lfmc::readCheckpointWeight(const Checkpoint &checkpoint,
                                       lfm2::WeightOp weight,
                                       llvm::MutableArrayRef<float> values,
                                       const QuantizerChoice &quantizer) {
  auto type = cast<RankedTensorType>(weight.getType());
  auto stored = cast<lfm2::StoredAttr>(type.getEncoding());
  pack::Format format = formatOf(stored.getKind());
  std::string_view name = weight.getSymName();

  auto *raw = reinterpret_cast<uint8_t *>(values.data());
  pack::Matrix matrix;
  matrix.columns = type.getShape().back();
  if (auto table = dyn_cast<lfm2::RopeTableAttr>(weight.getSource())) {
    lfm2::RopeAttr rope = table.getRope();
    pack::ropeRows(pack::ropeInverseFrequencies(
                       rope.getTheta().getValueAsDouble(), rope.getDim()),
                   0, type.getDimSize(0), values.data());
  } else {
    size_t filled = 0;
    for (StringAttr key :
         cast<lfm2::SourceAttr>(weight.getSource()).getTensors()) {
      const TensorInfo *info = checkpoint.find(key);
      if (!info)
        return makeError("weight @{}: the checkpoint has no tensor {}", name,
                         inQuotes(key));
      size_t count = info->numElements();
      if (count > values.size() - filled)
        return makeError("weight @{}: expected {} elements in all, found more "
                         "with tensor {}",
                         name, values.size(), inQuotes(key));
      const uint8_t *data = checkpoint.bytes(key).data();
      pack::Format from = pack::formatOf(info->dtype);
      matrix.pieces.push_back({data, int64_t(count) / matrix.columns, from});
      if (!pack::convert(from, data, pack::Format::F32,
                         raw + filled * sizeof(float), count))
        return makeError("weight @{}: tensor {} holds a value that is not "
                         "finite",
                         name, inQuotes(key));
      filled += count;
    }
    if (filled != values.size())
      return makeError("weight @{}: expected {} elements, found {}", name,
                       values.size(), filled);
  }
  int64_t columns = type.getRank() == 2 ? type.getDimSize(1) : 1;
  llvm::ArrayRef<float> rows = lfm2::rowFactors(weight);
  llvm::ArrayRef<float> across = lfm2::columnFactors(weight);
  if (!rows.empty() || !across.empty())
    for (auto [index, value] : llvm::enumerate(values))
      value *= (rows.empty() ? 1 : rows[index / columns]) *
               (across.empty() ? 1 : across[index % columns]);
  if (stored.isQuantized()) {
    pack::Blocks blocks = pack::blocksOf(stored);
    if (pack::roundRows(
            *makeQuantizer(quantizer, weight.getSymName(), columns, across),
            values.data(), type.getDimSize(0), columns, blocks) >= 0)
      return makeError("weight @{}: a scale is too large for f16", name);
    keepValues(matrix, blocks, values);
    return llvm::Error::success();
  }
  if (format == pack::Format::F32)
    return llvm::Error::success();
  std::vector<uint8_t> rounded(values.size() * pack::formatBytes(format));
  if (!pack::convert(pack::Format::F32, raw, format, rounded.data(),
                     values.size()))
    return makeError("weight @{}: a value is too large for {}", name,
                     pack::formatName(format));
  pack::convert(format, rounded.data(), pack::Format::F32, raw, values.size());
  return llvm::Error::success();
}
