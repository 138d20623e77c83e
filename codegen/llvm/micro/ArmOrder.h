// SPDX-License-Identifier: Apache-2.0
//
// In which order ArmDot.cpp writes the instructions of its loop. Private to
// codegen/llvm/micro.
//
// Cores out of order hardly care. One in order, as LLVM models the Cortex-A55,
// writes results in order: an operation waits until it cannot overtake the one
// before it, so that each step to a shorter latency costs the difference.
// Products, conversions and multiplications have the same latency; shifts and
// masks, which are faster, are therefore gathered; loads, which take two cycles
// of their port but one of issue, lie singly between products. docs/kernels.md
// has the cycles.
#ifndef LFMC_CODEGEN_LLVM_MICRO_ARMORDER_H
#define LFMC_CODEGEN_LLVM_MICRO_ARMORDER_H

#include "codegen/halide/QuantizedLayout.h"

namespace lfmc {

/// Times are in groups of four columns: the first product of group g of an
/// activation block is at g, the block's end at 8, where the next one starts.
/// A batch is what is unpacked at once. A pass goes over four blocks. A span is
/// what all tokens or sums of a block take, each an equal part.
struct ArmOrder {
  int groups, vectors;         ///< of a batch
  int rows = 4;                ///< vectors of a pass, which divide a panel's
  double products;             ///< the part of a batch's time that they take
  double ahead, loads;         ///< loads of weights: before a batch, their span
  double x, xSpan = 0;         ///< loads of activations, before their batch
  double unpack, unpackStep;   ///< before a batch, and to the next vectors
  int abreast;                 ///< vectors unpacked at the same time
  double stage;                ///< to the next stage of unpacking
  double start, startSpan = 0; ///< first sums, before a block
  double factors = 0; ///< what they start from, if in memory: load before them
  double scales;      ///< load of scales, before a block's end
  double widen;       ///< after it: scales to f32, before all that needs them
  double convert;     ///< after it, as below: sums to f32
  double multiply, multiplySpan;
  /// q4m: products by scales of rows, and minima by sums.
  double weigh = 0, weighSpan = 0, least = 0, leastSpan = 0;
  double add, addSpan;
  double more = 0; ///< q4m: addition of minima, after that of products
  /// Sums in memory, in a pass's first block: load before the addition; in its
  /// last one: store after it.
  double fetch = 0, fetchSpan = 0, keep = 0;
};

// Made by hand, and those of q4m, of four tokens and of q6's two then climbed
// at random: each step was judged by llvm-mca's cycles of cortex-a55 and by the
// number of instructions. No vector is spilled; f32 sums and factors of four
// tokens lie in memory.
inline constexpr ArmOrder armQ8 = {.groups = 1,
                                   .vectors = 4,
                                   .products = 1.78,
                                   .ahead = 1.155,
                                   .loads = 0.16,
                                   .x = 1.9,
                                   .unpack = 0.03,
                                   .unpackStep = 0,
                                   .abreast = 1,
                                   .stage = 0.001,
                                   .start = 2,
                                   .scales = 0.04,
                                   .widen = 2.77,
                                   .convert = 0.99,
                                   .multiply = 2.34,
                                   .multiplySpan = 1.34,
                                   .add = 4.74,
                                   .addSpan = 3.56};
inline constexpr ArmOrder armQ8Two = {.groups = 1,
                                      .vectors = 4,
                                      .products = 0.95,
                                      .ahead = 1.1,
                                      .loads = 1,
                                      .x = 0.3,
                                      .unpack = 0.01,
                                      .unpackStep = 0,
                                      .abreast = 1,
                                      .stage = 0.001,
                                      .start = 0.02,
                                      .scales = 0.3,
                                      .widen = -0.06,
                                      .convert = -0.07,
                                      .multiply = -0.05,
                                      .multiplySpan = 0.016,
                                      .add = -0.03,
                                      .addSpan = 0.008};
inline constexpr ArmOrder armQ8Four = {.groups = 1,
                                       .vectors = 2,
                                       .rows = 2,
                                       .products = 0.5,
                                       .ahead = 1.5,
                                       .loads = 0.4,
                                       .x = 0.8,
                                       .xSpan = 0.12,
                                       .unpack = 0,
                                       .unpackStep = 0,
                                       .abreast = 1,
                                       .stage = 0,
                                       .start = 0.096,
                                       .startSpan = 0.064,
                                       .scales = 0.7,
                                       .widen = -0.13,
                                       .convert = -0.121,
                                       .multiply = -0.1197,
                                       .multiplySpan = 0.004,
                                       .add = -0.09579,
                                       .addSpan = 0.0032,
                                       .fetch = 0.03,
                                       .fetchSpan = 0.0112,
                                       .keep = 0.03};
inline constexpr ArmOrder armQ4 = {.groups = 4,
                                   .vectors = 4,
                                   .products = 0.86,
                                   .ahead = 3.56,
                                   .loads = 3.7,
                                   .x = 0.15,
                                   .unpack = 0.153,
                                   .unpackStep = 0.008,
                                   .abreast = 2,
                                   .stage = 0.027,
                                   .start = 0.14,
                                   .scales = 0.6,
                                   .widen = -0.33,
                                   .convert = -0.4,
                                   .multiply = -0.3,
                                   .multiplySpan = 0,
                                   .add = -0.15,
                                   .addSpan = 0.044};
inline constexpr ArmOrder armQ4Two = {.groups = 2,
                                      .vectors = 2,
                                      .products = 0.88,
                                      .ahead = 0.6,
                                      .loads = 0,
                                      .x = 2.01,
                                      .unpack = 0.102,
                                      .unpackStep = 0,
                                      .abreast = 2,
                                      .stage = 0.0498,
                                      .start = 0,
                                      .scales = 0.7,
                                      .widen = -0.3,
                                      .convert = -0.24,
                                      .multiply = -0.23,
                                      .multiplySpan = 0,
                                      .add = -0.147,
                                      .addSpan = 0.1712};
inline constexpr ArmOrder armQ4Four = {.groups = 2,
                                       .vectors = 2,
                                       .rows = 2,
                                       .products = 0.907,
                                       .ahead = 0.65,
                                       .loads = 0,
                                       .x = 0.37,
                                       .xSpan = 0.32,
                                       .unpack = 0.1,
                                       .unpackStep = 0.051,
                                       .abreast = 1,
                                       .stage = 0.007,
                                       .start = 0.0433,
                                       .startSpan = 0.00128,
                                       .factors = 0.16,
                                       .scales = 2.2,
                                       .widen = -0.3,
                                       .convert = -0.2989,
                                       .multiply = -0.2299,
                                       .multiplySpan = 0.024,
                                       .add = -0.1269,
                                       .addSpan = 0.32,
                                       .fetch = 1.9,
                                       .fetchSpan = 1.6,
                                       .keep = 0.46};
inline constexpr ArmOrder armQ6 = {.groups = 4,
                                   .vectors = 4,
                                   .products = 0.9,
                                   .ahead = 2.6,
                                   .loads = 1.9,
                                   .x = 0.25,
                                   .unpack = 0.15,
                                   .unpackStep = 0.06,
                                   .abreast = 2,
                                   .stage = 0.015,
                                   .start = 0.155,
                                   .scales = 1,
                                   .widen = -0.35,
                                   .convert = -0.33,
                                   .multiply = -0.28,
                                   .multiplySpan = 0.004,
                                   .add = -0.22,
                                   .addSpan = 0.004};
inline constexpr ArmOrder armQ6Two = {.groups = 4,
                                      .vectors = 2,
                                      .rows = 2,
                                      .products = 0.934,
                                      .ahead = 3,
                                      .loads = 3,
                                      .x = 0.34,
                                      .xSpan = 0.52,
                                      .unpack = 0.19,
                                      .unpackStep = 0.4,
                                      .abreast = 2,
                                      .stage = 0.06,
                                      .start = 0.21,
                                      .startSpan = 0.028,
                                      .scales = 0.7,
                                      .widen = -0.4,
                                      .convert = -0.497,
                                      .multiply = -0.216,
                                      .multiplySpan = 0.0016,
                                      .add = -0.212,
                                      .addSpan = 0.036};
inline constexpr ArmOrder armQ6Four = {.groups = 4,
                                       .vectors = 1,
                                       .rows = 2,
                                       .products = 0.2119,
                                       .ahead = 0.4257,
                                       .loads = 0.2358,
                                       .x = 2.531,
                                       .xSpan = 1.924,
                                       .unpack = 0.06402,
                                       .unpackStep = 0.7578,
                                       .abreast = 1,
                                       .stage = 0.01138,
                                       .start = 0.01214,
                                       .startSpan = 0.006122,
                                       .factors = 0.1131,
                                       .scales = 1.555,
                                       .widen = -0.7888,
                                       .convert = -0.8466,
                                       .multiply = -0.4708,
                                       .multiplySpan = 0.1432,
                                       .add = -0.1597,
                                       .addSpan = 0.04135,
                                       .fetch = 1.857,
                                       .fetchSpan = 0.3897,
                                       .keep = 0.1335};
inline constexpr ArmOrder armMinima = {.groups = 4,
                                       .vectors = 4,
                                       .products = 0.9,
                                       .ahead = 3,
                                       .loads = 2,
                                       .x = 0.4,
                                       .unpack = 0.35,
                                       .unpackStep = 0.007,
                                       .abreast = 2,
                                       .stage = 0.1,
                                       .start = 0.13,
                                       .startSpan = 0.16,
                                       .scales = 1,
                                       .widen = -0.8,
                                       .convert = -0.6245,
                                       .multiply = -0.4245,
                                       .multiplySpan = 0,
                                       .weigh = -0.3745,
                                       .weighSpan = 0,
                                       .least = -0.5245,
                                       .leastSpan = 0.04,
                                       .add = -0.1345,
                                       .addSpan = 0,
                                       .more = 0.09};
inline constexpr ArmOrder armMinimaTwo = {.groups = 4,
                                          .vectors = 2,
                                          .rows = 2,
                                          .products = 0.9,
                                          .ahead = 0.7,
                                          .loads = 0.8,
                                          .x = 1.23,
                                          .xSpan = 2.158,
                                          .unpack = 0.17,
                                          .unpackStep = 0.01,
                                          .abreast = 1,
                                          .stage = 0.002,
                                          .start = 0.1,
                                          .startSpan = 0.12,
                                          .scales = 0.7,
                                          .widen = -0.5,
                                          .convert = -0.4,
                                          .multiply = -0.292,
                                          .multiplySpan = 0.076,
                                          .weigh = -0.21,
                                          .weighSpan = 0,
                                          .least = -0.29,
                                          .leastSpan = 0.048,
                                          .add = -0.2,
                                          .addSpan = 0.016,
                                          .more = 0.2};
inline constexpr ArmOrder armMinimaFour = {.groups = 2,
                                           .vectors = 2,
                                           .rows = 2,
                                           .products = 0.7386,
                                           .ahead = 1.5,
                                           .loads = 0,
                                           .x = 0.22,
                                           .xSpan = 0.176,
                                           .unpack = 0.18,
                                           .unpackStep = 0.01,
                                           .abreast = 1,
                                           .stage = 0.06,
                                           .start = 0.07,
                                           .startSpan = 0.08,
                                           .scales = 3,
                                           .widen = -0.5,
                                           .convert = -0.6146,
                                           .multiply = -0.4606,
                                           .multiplySpan = 0.00456,
                                           .weigh = -0.4076,
                                           .weighSpan = 0.12,
                                           .least = -0.4566,
                                           .leastSpan = 0.136,
                                           .add = -0.2476,
                                           .addSpan = 0.00512,
                                           .more = 0.021,
                                           .fetch = 0.22,
                                           .fetchSpan = 0.2,
                                           .keep = 0.593};

inline const ArmOrder &armOrder(const halide::QuantizedLayout &layout,
                                int64_t tokens) {
  auto of = [&](const ArmOrder &one, const ArmOrder &two,
                const ArmOrder &more) -> const ArmOrder & {
    return tokens == 1 ? one : tokens == 2 ? two : more;
  };
  if (layout.isQ8())
    return of(armQ8, armQ8Two, armQ8Four);
  if (layout.isQ6())
    return of(armQ6, armQ6Two, armQ6Four);
  if (layout.hasMinimum())
    return of(armMinima, armMinimaTwo, armMinimaFour);
  return of(armQ4, armQ4Two, armQ4Four);
}

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_ARMORDER_H
