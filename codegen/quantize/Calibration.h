// SPDX-License-Identifier: Apache-2.0
//
// What calibration measured: second moments of the rows that meet each weight.
#ifndef LFMC_CODEGEN_QUANTIZE_CALIBRATION_H
#define LFMC_CODEGEN_QUANTIZE_CALIBRATION_H

#include "codegen/quantize/Search.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>

namespace lfmc {

/// Sums of x xᵀ for the inputs x of linears, in square groups of at most 1024
/// columns along the diagonal. Above a gigabyte they lie in a temporary file
/// without a name, whose pages the system writes and drops as it needs.
class Calibration {
public:
  static constexpr int64_t groupColumns = 1024;

  /// A linear: its weight's symbol and width.
  struct Input {
    std::string weight;
    int64_t columns;
  };

  /// Sums of zero. Widths that blocks of 32 do not divide are an error.
  static llvm::Expected<std::unique_ptr<Calibration>>
  create(std::vector<Input> inputs);
  Calibration(const Calibration &) = delete;
  ~Calibration();

  llvm::ArrayRef<Input> inputs() const { return all; }
  int64_t groups(size_t input) const;

  /// Adds `n` rows of input `input`, [n][columns], to the sums of its group
  /// `group`. Different groups may be added to at the same time.
  void add(size_t input, int64_t group, const float *rows, int64_t n);

  /// The moments of what meets `weight`, all of whose groups are known, or no
  /// groups. `divisors`: see InputMoments. They live as long as this.
  InputMoments moments(llvm::StringRef weight,
                       llvm::ArrayRef<float> divisors = {}) const;

  /// Whether a sum is NaN or infinite: names the weight, else "".
  std::string notFinite() const;

  int64_t tokens = 0; ///< of all sequences
  std::string text;   ///< where they come from, for the manifest

private:
  Calibration() = default;

  std::vector<Input> all;
  std::vector<uint64_t> offsets; // by input, in floats
  llvm::StringMap<size_t> byName;
  float *sums = nullptr; // mapped
  uint64_t bytes = 0;
};

/// How weights are quantized.
enum class QuantizerKind { Nearest, Search, Gptq };

/// "nearest", "search", "gptq".
llvm::StringRef quantizerName(QuantizerKind kind);

struct QuantizerChoice {
  QuantizerKind kind = QuantizerKind::Nearest;
  std::shared_ptr<const Calibration> calibration; ///< may be null
};

/// The quantizer of `weight` with `columns` columns, which `columnFactors`
/// multiply (empty: 1). Without moments of a weight of that name and width gptq
/// is search, and search weighs all columns alike.
std::unique_ptr<pack::RowQuantizer>
makeQuantizer(const QuantizerChoice &choice, llvm::StringRef weight,
              int64_t columns, llvm::ArrayRef<float> columnFactors);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_CALIBRATION_H
