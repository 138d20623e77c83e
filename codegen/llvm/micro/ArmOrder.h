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
/// A batch is what is unpacked at once.
struct ArmOrder {
  int groups, vectors;       ///< of a batch
  double products;           ///< the part of a batch's time that they take
  double ahead, loads;       ///< loads: the first before a batch, and the span
  double x;                  ///< load of activations, before their batch
  double unpack, unpackStep; ///< before a batch, and to the next vectors
  int abreast;               ///< vectors unpacked at the same time
  double stage;              ///< to the next stage of unpacking
  double start;              ///< first sums, before a block
  double scales;             ///< load of scales, before a block's end
  double widen, convert;     ///< after it: scales, sums to f32
  double multiply, multiplyStep, add, addStep; ///< to the next sum
  /// Sums in memory: load of the first before its addition, to the next one,
  /// store after the addition.
  double fetch = 0, fetchStep = addStep, keep = 0;
};

// In none of the first five does a register of a vector go to memory, but for
// q6's f32 sums of two tokens.
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
                                   .multiplyStep = 0.335,
                                   .add = 4.74,
                                   .addStep = 0.89};
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
                                      .multiplyStep = 0.002,
                                      .add = -0.03,
                                      .addStep = 0.001};
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
                                   .multiplyStep = 0,
                                   .add = -0.15,
                                   .addStep = 0.011};
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
                                      .multiplyStep = 0,
                                      .add = -0.147,
                                      .addStep = 0.0214};
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
                                   .multiplyStep = 0.001,
                                   .add = -0.22,
                                   .addStep = 0.001};
inline constexpr ArmOrder armQ6Two = {.groups = 4,
                                      .vectors = 2,
                                      .products = 0.76,
                                      .ahead = 1.63,
                                      .loads = 1.2,
                                      .x = 0.13,
                                      .unpack = 0.149,
                                      .unpackStep = 0,
                                      .abreast = 2,
                                      .stage = 0.011,
                                      .start = 0.14,
                                      .scales = 0.9,
                                      .widen = -0.243,
                                      .convert = -0.27,
                                      .multiply = -0.241,
                                      .multiplyStep = 0.0065,
                                      .add = -0.198,
                                      .addStep = 0.003,
                                      .fetch = 0.1,
                                      .fetchStep = 0.0154,
                                      .keep = 0.043};
inline constexpr ArmOrder armQ8More = {.groups = 1,
                                       .vectors = 4,
                                       .products = 0.95,
                                       .ahead = 0.5,
                                       .loads = 0.4,
                                       .x = 0.1,
                                       .unpack = 0.01,
                                       .unpackStep = 0,
                                       .abreast = 1,
                                       .stage = 0.001,
                                       .start = 0.02,
                                       .scales = 0.1,
                                       .widen = -0.06,
                                       .convert = -0.07,
                                       .multiply = -0.05,
                                       .multiplyStep = 0.002,
                                       .add = -0.03,
                                       .addStep = 0.001};
// q4m's factors take registers.
inline constexpr ArmOrder armMinima = {.groups = 4,
                                       .vectors = 4,
                                       .products = 0.9,
                                       .ahead = 3.5,
                                       .loads = 3.1,
                                       .x = 0.7,
                                       .unpack = 0.15,
                                       .unpackStep = 0.004,
                                       .abreast = 2,
                                       .stage = 0.056,
                                       .start = 0.125,
                                       .scales = 1.6,
                                       .widen = -0.35,
                                       .convert = -0.5,
                                       .multiply = -0.19,
                                       .multiplyStep = 0.001,
                                       .add = -0.149,
                                       .addStep = 0.005};
inline constexpr ArmOrder armQ4More = {.groups = 2,
                                       .vectors = 2,
                                       .products = 0.9,
                                       .ahead = 0.6,
                                       .loads = 0.4,
                                       .x = 0.7,
                                       .unpack = 0.1,
                                       .unpackStep = 0.002,
                                       .abreast = 1,
                                       .stage = 0.05,
                                       .start = 0.125,
                                       .scales = 1,
                                       .widen = -0.21,
                                       .convert = -0.2,
                                       .multiply = -0.18,
                                       .multiplyStep = 0.001,
                                       .add = -0.149,
                                       .addStep = 0.005};
inline constexpr ArmOrder armQ6More = {.groups = 4,
                                       .vectors = 1,
                                       .products = 0.8,
                                       .ahead = 0.4,
                                       .loads = 0.2,
                                       .x = 0.3,
                                       .unpack = 0.15,
                                       .unpackStep = 0,
                                       .abreast = 1,
                                       .stage = 0.015,
                                       .start = 0.155,
                                       .scales = 1,
                                       .widen = -0.21,
                                       .convert = -0.2,
                                       .multiply = -0.19,
                                       .multiplyStep = 0.001,
                                       .add = -0.18,
                                       .addStep = 0.001};

inline const ArmOrder &armOrder(const halide::QuantizedLayout &layout,
                                int64_t tokens) {
  if (layout.isQ8())
    return tokens == 1 ? armQ8 : tokens == 2 ? armQ8Two : armQ8More;
  if (layout.isQ6())
    return tokens == 1 ? armQ6 : tokens == 2 ? armQ6Two : armQ6More;
  if (layout.hasMinimum())
    return tokens == 1 ? armMinima : armQ4More;
  return tokens == 1 ? armQ4 : tokens == 2 ? armQ4Two : armQ4More;
}

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_ARMORDER_H
