// SPDX-License-Identifier: Apache-2.0
//
// Operands that kernels of several families read: rows of activations, and
// weights of which two units are made and reused (measure/job.h). Values are
// the same on every machine.
#ifndef LFMC_CODEGEN_TUNE_TESTOPERANDS_H
#define LFMC_CODEGEN_TUNE_TESTOPERANDS_H

#include "codegen/pack/Formats.h"
#include "codegen/pack/Plan.h"
#include "codegen/tune/JobFile.h"
#include "frontend/Random.h"
#include "targets/Kernels.h"

#include <cmath>

namespace lfmc::tune {

/// How a kernel reads quantized rows.
struct RowForm {
  int64_t together = 1; ///< tokens that lie together: 4 or 16
  int64_t shared = 32;  ///< columns that share a scale; more: in weights, too
  bool raised = false;  ///< codes are more by 128
  bool limited = false; ///< codes of two add up to at most 128
};

/// The form that `kernel` wants of `tokens` rows (codegen/llvm/micro/ArmTile.h,
/// WideTile.cpp).
RowForm formOf(const Kernel &kernel, int64_t tokens);

/// Quantized rows of `width` columns in that form.
std::vector<uint8_t> arranged(const std::vector<uint8_t> &rows, int64_t width,
                              RowForm form);

/// An integer parameter of a kernel; 0 if it has none such.
int64_t paramOf(const Kernel &kernel, llvm::StringRef name);

/// Tokens (or quads of them) after which rows repeat: no tile is a multiple.
inline constexpr int64_t distinctRows = 13;

/// In [-1, 1).
inline float uniform(Xoshiro256 &random) {
  return float(int64_t(random() >> 40)) / (1 << 23) - 1;
}

/// Rows as a kernel reads them, and what they mean.
struct TestRows {
  std::vector<uint8_t> bytes;
  std::vector<float> values; ///< [rows][width]
};
TestRows makeRows(int64_t rows, int64_t width, bool quantized, RowForm form,
                  Xoshiro256 &random);

/// A weight of `rows` rows, or several such, in units of rows. Each of two
/// kernels may want a layout of its own; with swiglu the first half of a unit
/// are gates.
class WeightUnits {
public:
  WeightUnits(lfm2::StoredKind kind, int64_t block, int64_t rows, int64_t k,
              const Kernel (&kernels)[2], Xoshiro256 &random);

  int64_t rows() const { return unit; } ///< of a unit
  /// What the weight of unit `index` means, as stored: [unit][k].
  const std::vector<float> &values(int index) const { return rounded[index]; }
  /// `count` units in `layout`.
  lfm_operand operand(JobFile &file, lfm2::PanelsAttr layout,
                      uint64_t count) const;

private:
  std::vector<uint8_t> packed(int index, lfm2::PanelsAttr layout) const;

  const int64_t block, k;
  int64_t unit;
  pack::Blocks blocks;
  pack::Format format = pack::Format::F32;
  std::vector<float> units[2], rounded[2];
};

/// Which of the two units is unit `number`.
inline int unitOf(uint64_t number) { return __builtin_parityll(number); }

/// The sum of k products; `largest` becomes the sum of their sizes, if that is
/// more.
double dotOf(const float *a, const float *b, int64_t k, double &largest);

inline float siluOf(double x) { return float(x / (1 + std::exp(-x))); }

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_TESTOPERANDS_H
