// SPDX-License-Identifier: Apache-2.0
//
// Streams of normally distributed weights, as fast as memory takes them.
#ifndef LFMC_FRONTEND_RANDOMTENSOR_H
#define LFMC_FRONTEND_RANDOMTENSOR_H

#include "frontend/SafeTensors.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <map>

namespace lfmc {

/// Distribution of a tensor's elements.
struct RandomTensor {
  double mean = 0, std = 1;
};

/// Generates tensors of one element type. Elements are looked up in a table of
/// 65,536 quantiles, so no value is farther than 4.4 std from the mean. The
/// stream depends on seed, distribution and type only, not on the threads.
class RandomTensorSource {
public:
  /// `dtype` is F32, F16 or BF16; at least one thread is used.
  RandomTensorSource(DType dtype, unsigned threads);

  /// Passes `numBytes` bytes of elements to `sink` in pieces of a few MiB.
  llvm::Error
  generate(RandomTensor distribution, uint64_t seed, uint64_t numBytes,
           llvm::function_ref<llvm::Error(llvm::ArrayRef<uint8_t>)> sink);

private:
  const std::vector<uint8_t> &table(RandomTensor distribution);

  DType dtype;
  unsigned threads;
  std::vector<float> quantiles; // of the standard normal distribution
  std::map<std::pair<double, double>, std::vector<uint8_t>> tables;
  std::vector<uint8_t> front, back; // double buffer
};

} // namespace lfmc

#endif // LFMC_FRONTEND_RANDOMTENSOR_H
