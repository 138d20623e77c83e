// SPDX-License-Identifier: Apache-2.0
//
// The models of ProgramTest.
#ifndef LFMC_TESTS_CODEGEN_LLVM_PROGRAMSHAPES_H
#define LFMC_TESTS_CODEGEN_LLVM_PROGRAMSHAPES_H

#include "dialects/lfm2/Lfm2.h"

#include <ostream>
#include <string>
#include <vector>

namespace lfmc::test {

struct Shape {
  const char *name;
  int64_t hidden, heads, kvHeads, ffn, vocab, taps;
  bool bias, untied, fused;
  std::vector<std::string> quant = {}; ///< schemes of lfmc-quantize
  bool bf16Rows = false;               ///< of lfmc-quantize
  lfm2::StoredKind cache = lfm2::StoredKind::F32;
  int64_t context = 100;
  int64_t experts = 0, perToken = 0, expertWidth = 0; ///< mixtures of experts
  bool wide = false; ///< prompts for which weights are rewritten

  /// Whether activations are rounded.
  bool rounds() const {
    return !quant.empty() || bf16Rows || cache == lfm2::StoredKind::Q8;
  }
  /// Whether tokens choose among experts.
  bool chooses() const { return perToken < experts; }
};

/// For GoogleTest's messages.
inline void PrintTo(const Shape &shape, std::ostream *out) {
  *out << shape.name;
}

// Prompts of 32 tokens and more take one scale for 256 (or, of ffn, 128)
// columns of weights and activations, which the reference does not.
inline const Shape wideShapes[] = {{.name = "Wide",
                                    .hidden = 256,
                                    .heads = 4,
                                    .kvHeads = 2,
                                    .ffn = 640,
                                    .vocab = 450,
                                    .taps = 3,
                                    .bias = true,
                                    .untied = false,
                                    .fused = true,
                                    .quant = {"q4", "head=q6"},
                                    .wide = true}};

inline const Shape shapes[] = {
    {"OddWidths", 72, 3, 1, 100, 385, 3, false, true, true},
    {"Biases", 96, 4, 2, 160, 450, 3, true, false, true},
    {"SevenTapsOneHead", 144, 2, 1, 222, 1000, 7, true, true, true},
    {"EveryHeadItsKeys", 320, 5, 5, 640, 513, 4, false, false, true},
    {"TwoTaps", 64, 8, 4, 64, 384, 2, false, false, true},
    {"Expanded", 96, 4, 2, 160, 450, 3, false, false, false},
    {"FourBits", 96, 3, 1, 160, 385, 3, true, false, true, {"q4"}},
    {"SixBitHead",
     320,
     5,
     5,
     640,
     513,
     4,
     false,
     true,
     true,
     {"q4", "head=q6"}},
    {"EightBits", 64, 8, 4, 64, 384, 2, false, false, true, {"q8"}},
    {"Minima",
     128,
     4,
     2,
     256,
     450,
     3,
     false,
     false,
     true,
     {"q4m/64", "head=q8/128"}},
    {"SomeStay", 72, 3, 1, 96, 385, 3, false, true, true, {"q4"}},
    {"Experts",
     96,
     4,
     2,
     160,
     450,
     3,
     false,
     false,
     true,
     {},
     false,
     lfm2::StoredKind::F32,
     100,
     7,
     3,
     40}};

/// q4 or q8 in both matrices of `experts` experts, of which a token takes
/// `perToken`.
inline Shape quantizedExperts(const char *name, const char *quant,
                              int64_t experts, int64_t perToken) {
  Shape shape{name, 96, 4, 2, 160, 450, 3, false, false, true, {quant}};
  shape.experts = experts;
  shape.perToken = perToken;
  shape.expertWidth = 64;
  return shape;
}

inline const Shape expertShapes[] = {
    quantizedExperts("AllExpertsEightBits", "q8", 3, 3),
    quantizedExperts("SomeExpertsFourBits", "q4", 7, 3),
    quantizedExperts("SomeExpertsEightBits", "q8", 7, 3)};

inline const Shape roundedShapes[] = {
    {"Bf16Rows", 64, 8, 4, 64, 384, 2, false, false, true, {}, true},
    {"Bf16RowsWithBiases", 96, 4, 2, 100, 450, 3, true, false, true, {}, true},
    {"Bf16RowsBesideFourBits",
     64,
     4,
     2,
     96,
     384,
     3,
     false,
     true,
     true,
     {"ffn=q4"},
     true},
    {"Bf16RowsExpanded", 96, 4, 2, 160, 450, 3, false, false, false, {}, true}};

inline const Shape lengthyShapes[] = {{"Pieces",
                                       64,
                                       4,
                                       1,
                                       64,
                                       384,
                                       2,
                                       false,
                                       false,
                                       true,
                                       {},
                                       false,
                                       lfm2::StoredKind::F32,
                                       1200}};

inline constexpr lfm2::StoredKind q8 = lfm2::StoredKind::Q8;
inline const Shape cacheShapes[] = {
    {"Q8Cache", 64, 8, 4, 64, 384, 2, false, false, true, {}, false, q8},
    {"Q8CacheOddHeads",
     72,
     3,
     1,
     100,
     385,
     3,
     false,
     true,
     true,
     {},
     false,
     q8},
    {"Q8CacheFourBits",
     192,
     4,
     2,
     96,
     384,
     3,
     false,
     false,
     true,
     {"q4"},
     false,
     q8}};

} // namespace lfmc::test

#endif // LFMC_TESTS_CODEGEN_LLVM_PROGRAMSHAPES_H
