// SPDX-License-Identifier: Apache-2.0
#include "frontend/RandomTensor.h"

#include "frontend/Random.h"

#include "llvm/ADT/APFloat.h"

#include <cmath>
#include <cstring>
#include <future>
#include <numbers>

using namespace llvm;

namespace lfmc {
namespace {

constexpr size_t tableSize = 65536;
// One seed each: the unit of work that makes the stream independent of the
// number of threads.
constexpr size_t blockElements = 1 << 18;

std::vector<float> normalQuantiles() {
  std::vector<float> result(tableSize);
  double x = 0;
  for (size_t i = tableSize / 2; i < tableSize; ++i) {
    double wanted = (double(i) + 0.5) / tableSize;
    for (int step = 0; step < 6; ++step) {
      double cdf = 0.5 * std::erfc(-x / std::numbers::sqrt2);
      double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
      x -= (cdf - wanted) / density;
    }
    result[i] = float(x);
    result[tableSize - 1 - i] = float(-x);
  }
  return result;
}

template <typename Element>
void fillBlock(Element *out, size_t count, const Element *table,
               uint64_t seed) {
  Xoshiro256 random(seed);
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    uint64_t bits = random();
    for (size_t j = 0; j < 4; ++j)
      out[i + j] = table[(bits >> (16 * j)) & 0xffff];
  }
  for (uint64_t bits = random(); i < count; ++i, bits >>= 16)
    out[i] = table[bits & 0xffff];
}

void fillBlock(std::vector<uint8_t> &piece, size_t block,
               const std::vector<uint8_t> &table, size_t size, uint64_t seed) {
  size_t first = block * blockElements;
  size_t count = std::min(blockElements, piece.size() / size - first);
  if (size == 2)
    fillBlock(reinterpret_cast<uint16_t *>(piece.data()) + first, count,
              reinterpret_cast<const uint16_t *>(table.data()), seed);
  else
    fillBlock(reinterpret_cast<uint32_t *>(piece.data()) + first, count,
              reinterpret_cast<const uint32_t *>(table.data()), seed);
}

} // namespace

RandomTensorSource::RandomTensorSource(DType dtype, unsigned threads)
    : dtype(dtype), threads(std::max(threads, 1u)),
      quantiles(normalQuantiles()) {}

const std::vector<uint8_t> &
RandomTensorSource::table(RandomTensor distribution) {
  auto [it, isNew] = tables.try_emplace({distribution.mean, distribution.std});
  if (!isNew)
    return it->second;
  size_t size = dtypeBytes(dtype);
  it->second.resize(tableSize * size);
  for (size_t i = 0; i < tableSize; ++i) {
    auto value =
        float(distribution.mean + distribution.std * double(quantiles[i]));
    APFloat number(value);
    bool losesInfo;
    if (dtype != DType::F32)
      number.convert(dtype == DType::F16 ? APFloat::IEEEhalf()
                                         : APFloat::BFloat(),
                     APFloat::rmNearestTiesToEven, &losesInfo);
    uint64_t bits = number.bitcastToAPInt().getZExtValue();
    std::memcpy(it->second.data() + i * size, &bits, size);
  }
  return it->second;
}

Error RandomTensorSource::generate(
    RandomTensor distribution, uint64_t seed, uint64_t numBytes,
    function_ref<Error(ArrayRef<uint8_t>)> sink) {
  const std::vector<uint8_t> &values = table(distribution);
  size_t size = dtypeBytes(dtype);
  const uint64_t pieceBytes = uint64_t(8) * blockElements * size;
  SplitMix64 seeds(seed);
  std::vector<std::future<void>> running;

  // Blocks are dealt in turn: thread t fills blocks t, t + threads, …
  auto start = [&](std::vector<uint8_t> &piece, uint64_t bytes) {
    piece.resize(bytes);
    size_t blocks = (bytes / size + blockElements - 1) / blockElements;
    std::vector<uint64_t> blockSeeds(blocks);
    for (uint64_t &blockSeed : blockSeeds)
      blockSeed = seeds();
    size_t workers = std::min<size_t>(threads, blocks);
    for (size_t worker = 0; worker < workers; ++worker)
      running.push_back(std::async(
          // A piece of one block is not worth a thread.
          blocks == 1 ? std::launch::deferred : std::launch::async,
          [&piece, &values, size, worker, workers, blockSeeds] {
            for (size_t b = worker; b < blockSeeds.size(); b += workers)
              fillBlock(piece, b, values, size, blockSeeds[b]);
          }));
  };
  auto wait = [&] {
    for (std::future<void> &future : running)
      future.get();
    running.clear();
  };

  uint64_t started = std::min(pieceBytes, numBytes), left = numBytes - started;
  start(front, started);
  while (started) {
    wait();
    std::swap(front, back);
    started = std::min(pieceBytes, left);
    left -= started;
    if (started)
      start(front, started);
    if (Error error = sink(back)) {
      wait();
      return error;
    }
  }
  return Error::success();
}

} // namespace lfmc
