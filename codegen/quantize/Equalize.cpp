// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Equalize.h"

#include "codegen/pack/Plan.h"
#include "dialects/lfm2/Factors.h"
#include "frontend/Errors.h"
#include "passes/quantize/Channels.h"

#include <cmath>

using namespace llvm;

namespace lfmc {
namespace {

// Of the product's size that goes to the weights. 0 would be best for weights
// of one row, 1 for activations.
constexpr double share = 0.2;
// Rows of a matrix that stand for all.
constexpr int64_t sampleRows = 512;

// Adds the squares of the columns of `op`, with its factors, to `squares`.
Error addSquares(lfm2::WeightOp op, const WeightSource &source,
                 MutableArrayRef<double> squares) {
  Expected<pack::PlannedWeight> weight = pack::planWeight(op, source);
  if (!weight)
    return weight.takeError();
  pack::Matrix matrix = pack::matrixOf(*weight, source.tensors);
  int64_t step = std::max<int64_t>(1, weight->rows / sampleRows);
  std::vector<float> values(weight->columns);
  for (int64_t row = 0; row < weight->rows; row += step) {
    // What is not finite is the packer's to report, with its place.
    if (pack::readRow(matrix, row, values.data()))
      continue;
    for (int64_t i = 0; i < weight->columns; ++i)
      squares[i] += double(values[i]) * values[i];
  }
  return Error::success();
}

Error equalize(const ScalableChannels &channels, const WeightSource &source,
               const Calibration &calibration, int64_t &count) {
  int64_t columns = int64_t(channels.channelOf.size());
  // Readers meet the same rows.
  lfm2::WeightOp first = channels.readers.front();
  InputMoments moments = calibration.moments(first.getSymName());
  if (moments.columns() != columns || !lfm2::columnFactors(first).empty())
    return Error::success();
  std::vector<double> squares(columns);
  for (lfm2::WeightOp reader : channels.readers)
    if (Error error = addSquares(reader, source, squares))
      return error;
  std::vector<double> inputs(channels.channels), weights(channels.channels);
  for (int64_t i = 0; i < columns; ++i) {
    inputs[channels.channelOf[i]] += moments.diagonal(i);
    weights[channels.channelOf[i]] += squares[i];
  }
  for (double &square : inputs)
    square = std::sqrt(square);
  for (double &square : weights)
    square = std::sqrt(square);
  scaleChannels(channels, channelFactors(inputs, weights));
  ++count;
  return Error::success();
}

} // namespace

std::vector<float> channelFactors(ArrayRef<double> inputs,
                                  ArrayRef<double> weights) {
  // Logarithms: their mean is taken off, so that rows keep their size.
  std::vector<double> logs(inputs.size());
  double mean = 0;
  int64_t known = 0;
  auto usable = [&](size_t i) {
    return inputs[i] > 0 && weights[i] > 0 && std::isfinite(inputs[i]) &&
           std::isfinite(weights[i]);
  };
  for (size_t i = 0; i < inputs.size(); ++i)
    if (usable(i)) {
      logs[i] =
          share * std::log(inputs[i]) - (1 - share) * std::log(weights[i]);
      mean += logs[i];
      ++known;
    }
  // A channel that is nearly dead must not blow up what is left of it.
  constexpr double limit = 7; // e^7 = 1097
  std::vector<float> factors(inputs.size(), 1.0f);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (usable(i))
      factors[i] = float(
          std::exp(std::clamp(logs[i] - mean / double(known), -limit, limit)));
  return factors;
}

Expected<int64_t> equalizeChannels(mlir::ModuleOp module,
                                   const Checkpoint &checkpoint,
                                   const Calibration &calibration) {
  WeightSource source{checkpoint.tensors(),
                      [&](StringRef name) { return checkpoint.find(name); }};
  std::vector<ScalableChannels> all = findScalableChannels(module);
  // Products first: what they do to rows of a matrix counts for its columns,
  // and norms are the writers of those.
  auto ofNorm = [](const ScalableChannels &channels) {
    lfm2::WeightOp writer = channels.writers.front().weight;
    return cast<mlir::RankedTensorType>(writer.getType()).getRank() == 1;
  };
  int64_t count = 0;
  for (bool norms : {false, true})
    for (const ScalableChannels &channels : all)
      if (ofNorm(channels) == norms)
        if (Error error = equalize(channels, source, calibration, count))
          return std::move(error);
  return count;
}

} // namespace lfmc
