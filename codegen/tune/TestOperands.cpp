// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/TestOperands.h"

#include "codegen/tune/QuadRows.h"

#include <cmath>
#include <cstring>

namespace lfmc::tune {

int64_t paramOf(const Kernel &kernel, llvm::StringRef name) {
  for (const mlir::NamedAttribute &param : kernel.params)
    if (param.getName() == name)
      return mlir::cast<mlir::IntegerAttr>(param.getValue()).getInt();
  return 0;
}

/// Tokens of a step from which rows have the form of prompts.
static int64_t manyTokens(const Kernel &kernel) {
  const int64_t from = paramOf(kernel, "wide_from");
  return from ? from : paramOf(kernel, "pairs_from");
}

RowForm formOf(const Kernel &kernel, int64_t tokens) {
  RowForm form;
  if (paramOf(kernel, "quads"))
    form.together = 4;
  const int64_t group = paramOf(kernel, "group");
  form.limited = paramOf(kernel, "limited") && tokens >= manyTokens(kernel);
  if (group && tokens >= paramOf(kernel, "wide_from")) {
    form.shared = group;
    form.raised = paramOf(kernel, "pairs") || paramOf(kernel, "raised");
    if (paramOf(kernel, "outer"))
      form.together = 16;
  }
  return form;
}

std::vector<uint8_t> arranged(const std::vector<uint8_t> &rows, int64_t width,
                              RowForm form) {
  if (form.together != 1)
    return form.together == 16 ? toSixteens(rows, width, form.shared)
                               : toQuads(rows, width, form.shared);
  std::vector<uint8_t> bytes = rows;
  if (form.raised)
    for (size_t i = 0; i < bytes.size(); ++i)
      if (int64_t(i) % (width + width / 4) < width)
        bytes[i] ^= 128;
  return bytes;
}

TestRows makeRows(int64_t rows, int64_t width, bool quantized, RowForm form,
                  Xoshiro256 &random) {
  TestRows made;
  for (int64_t r = 0; r < rows; ++r) {
    if (!quantized) {
      for (int64_t i = 0; i < width; ++i)
        made.values.push_back(uniform(random));
      continue;
    }
    std::vector<int8_t> codes(width);
    // Room for one of 32 columns, however many share them.
    std::vector<float> scales(width / 32);
    std::vector<int32_t> sums(width / 32);
    for (float &scale : scales)
      scale = (1.5f + uniform(random)) / 254;
    for (int64_t i = 0; i < width; ++i) {
      codes[i] = int8_t(int(random() % 255) - 127);
      if (form.limited)
        codes[i] /= 2;
      sums[i / form.shared] += codes[i];
      made.values.push_back(float(codes[i]) * scales[i / form.shared]);
    }
    auto add = [&](const void *data, size_t bytes) {
      auto *begin = static_cast<const uint8_t *>(data);
      made.bytes.insert(made.bytes.end(), begin, begin + bytes);
    };
    add(codes.data(), codes.size());
    add(scales.data(), scales.size() * 4);
    add(sums.data(), sums.size() * 4);
  }
  if (!quantized) {
    made.bytes.resize(made.values.size() * 4);
    std::memcpy(made.bytes.data(), made.values.data(), made.bytes.size());
  }
  made.bytes = arranged(made.bytes, width, form);
  return made;
}

double dotOf(const float *a, const float *b, int64_t k, double &largest) {
  double sum = 0, size = 0;
  for (int64_t i = 0; i < k; ++i) {
    const double term = double(a[i]) * b[i];
    sum += term;
    size += std::abs(term);
  }
  largest = std::max(largest, size);
  return sum;
}

WeightUnits::WeightUnits(lfm2::StoredKind kind, int64_t block, int64_t rows,
                         int64_t k, const Kernel (&kernels)[2],
                         Xoshiro256 &random)
    : block(block), k(k), unit(128),
      blocks(pack::blocksOf(lfm2::StoredAttr::get(
          kernels[0].chunks.getContext(), kind, block, {}))) {
  if (kind == lfm2::StoredKind::BF16)
    format = pack::Format::BF16;
  if (kind == lfm2::StoredKind::F16)
    format = pack::Format::F16;
  for (const Kernel &kernel : kernels)
    unit = std::max(unit, kernel.layout.getRows());
  if (rows % unit)
    unit = rows;
  // Small enough that silu does not saturate everywhere.
  const float scale = 2 / std::sqrt(float(k));
  for (int i : {0, 1}) {
    units[i].resize(unit * k);
    for (float &value : units[i])
      value = uniform(random) * scale;
    rounded[i] = units[i];
    if (block) {
      pack::roundRows(pack::NearestQuantizer(), rounded[i].data(), unit, k,
                      blocks);
      continue;
    }
    std::vector<uint8_t> stored(rounded[i].size() * 4);
    auto *bytes = reinterpret_cast<uint8_t *>(rounded[i].data());
    const auto count = int64_t(rounded[i].size());
    pack::convert(pack::Format::F32, bytes, format, stored.data(), count);
    pack::convert(format, stored.data(), pack::Format::F32, bytes, count);
  }
}

std::vector<uint8_t> WeightUnits::packed(int index,
                                         lfm2::PanelsAttr layout) const {
  const pack::Panels panels{layout.getRows(), layout.getDepth(),
                            layout.getHalves(), layout.getRaised()};
  pack::Matrix matrix;
  matrix.columns = k;
  matrix.pieces.push_back(
      {reinterpret_cast<const uint8_t *>(units[index].data()), unit,
       pack::Format::F32});
  pack::Part whole{0, unit / panels.rows, 0, k / panels.depth};
  std::vector<uint8_t> bytes;
  if (block) {
    bytes.resize(unit * blocks.bytes(k));
    pack::packQuantized(matrix, panels, blocks, pack::NearestQuantizer(), whole,
                        bytes.data());
  } else {
    bytes.resize(unit * k * pack::formatBytes(format));
    pack::packPart(matrix, panels, format, whole, bytes.data());
  }
  return bytes;
}

lfm_operand WeightUnits::operand(JobFile &file, lfm2::PanelsAttr layout,
                                 uint64_t count) const {
  std::vector<uint8_t> a = packed(0, layout), b = packed(1, layout);
  const uint64_t bytes = a.size();
  a.insert(a.end(), b.begin(), b.end());
  return operandOf(LFM_OPERAND_UNITS, 0, count, bytes, 0, file.append(a));
}

} // namespace lfmc::tune
