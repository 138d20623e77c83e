// SPDX-License-Identifier: Apache-2.0
//
// What Space::kernel says of the families that are no plain matrix and no
// attention. Each parse() quotes the name in its error.
#ifndef LFMC_CODEGEN_TUNE_SHAPES_H
#define LFMC_CODEGEN_TUNE_SHAPES_H

#include "codegen/tune/Tasks.h"

namespace lfmc::tune {

struct ExpertShape {
  int64_t experts = 0, topK = 0, n = 0, k = 0; ///< n, k: of an expert
  lfm2::StoredKind kind = lfm2::StoredKind::F32;
  int64_t block = 0; ///< 0: not quantized
  bool swiglu = false;

  static llvm::Expected<ExpertShape> parse(llvm::StringRef kernel);
  /// One expert's matrix.
  LinearShape matrix() const { return {n, k, kind, block, swiglu, false}; }
};

struct QuantizeShape {
  int64_t width = 0;
  bool norm = false, quads = false, limited = false;
  int64_t group = 0; ///< columns of a scale in steps of many tokens; 0: 32

  static llvm::Expected<QuantizeShape> parse(llvm::StringRef kernel);
};

struct NormShape {
  int64_t width = 0, heads = 0;
  static llvm::Expected<NormShape> parse(llvm::StringRef kernel);
};

struct EmbedShape {
  int64_t width = 0;
  lfm2::StoredKind kind = lfm2::StoredKind::F32;
  int64_t block = 0;
  static llvm::Expected<EmbedShape> parse(llvm::StringRef kernel);
};

struct RopeShape {
  int64_t heads = 0, kvHeads = 0, dim = 0, rot = 0;
  lfm2::StoredKind kind = lfm2::StoredKind::F32; ///< of the caches
  static llvm::Expected<RopeShape> parse(llvm::StringRef kernel);
};

struct ConvShape {
  int64_t channels = 0, taps = 0;
  bool bias = false;
  static llvm::Expected<ConvShape> parse(llvm::StringRef kernel);
};

/// Calls `of` with what parse() of the family of `kernel` returns.
template <typename Of>
auto withShape(llvm::StringRef kernel, Of of) {
  const llvm::StringRef family = kernel.split(' ').first;
  return family == "attention"    ? of(AttentionShape::parse(kernel))
         : family == "experts"    ? of(ExpertShape::parse(kernel))
         : family == "quantize"   ? of(QuantizeShape::parse(kernel))
         : family == "rms_norm"   ? of(NormShape::parse(kernel))
         : family == "embed"      ? of(EmbedShape::parse(kernel))
         : family == "rope_cache" ? of(RopeShape::parse(kernel))
         : family == "short_conv" ? of(ConvShape::parse(kernel))
                                  : of(LinearShape::parse(kernel));
}

/// What calls of them cost, for `tokens` tokens.
Cost costOf(const ExpertShape &shape, int64_t tokens);
Cost costOf(const QuantizeShape &shape, int64_t tokens);
Cost costOf(const NormShape &shape, int64_t tokens);
Cost costOf(const EmbedShape &shape, int64_t tokens);
Cost costOf(const RopeShape &shape, int64_t tokens);
Cost costOf(const ConvShape &shape, int64_t tokens);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_SHAPES_H
