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
///
/// Experts of a layer that read the same rows, each those of some tokens, share
/// sums over all tokens and have a diagonal each. Experts that read rows of
/// their own have sums each, in the largest groups that take a gigabyte in all.
class Calibration {
public:
  static constexpr int64_t groupColumns = 1024;
  /// An expert that fewer tokens chose is quantized as if it had no moments.
  static constexpr int64_t leastTokens = 16;

  /// A linear: its weight's symbol and width.
  struct Input {
    std::string weight;
    int64_t columns;
    /// Matrices stacked in the weight (lfm2.experts): row r is one of expert
    /// r / expertRows % experts. 0: a linear.
    int64_t experts = 0, expertRows = 0;
    /// Each chosen expert of a token has a row of its own.
    bool ownRows = false;

    int64_t expertOf(int64_t row) const { return row / expertRows % experts; }
  };

  /// Sums of zero. Widths that blocks of 32 do not divide are an error.
  static llvm::Expected<std::unique_ptr<Calibration>>
  create(std::vector<Input> inputs);
  Calibration(const Calibration &) = delete;
  ~Calibration();

  llvm::ArrayRef<Input> inputs() const { return all; }
  /// Null: not known.
  const Input *find(llvm::StringRef weight) const;
  /// Parts that `add` takes one by one: groups of columns, or experts with rows
  /// of their own.
  int64_t parts(size_t input) const;

  /// Adds the rows of `n` tokens to the sums of part `part` of input `input`.
  /// Different parts may be added to at the same time. `rows` are [n][columns],
  /// or [n][slots][columns] if experts have rows of their own; `chosen`, [n]
  /// [slots], are the experts of a token, null for a linear.
  void add(size_t input, int64_t part, const float *rows, int64_t n,
           const int32_t *chosen = nullptr, int64_t slots = 0);

  /// The moments of what meets the linear `weight`, or all experts that read
  /// the same rows, all of whose groups are known, or no groups. `divisors`:
  /// see InputMoments. They live as long as this.
  InputMoments moments(llvm::StringRef weight,
                       llvm::ArrayRef<float> divisors = {}) const;

  /// Of an expert with rows of its own.
  InputMoments expertMoments(llvm::StringRef weight, int64_t expert,
                             llvm::ArrayRef<float> divisors = {}) const;
  /// What the root mean squares of an expert's columns are, [columns], as a
  /// factor of those of all tokens, where experts share rows.
  std::vector<float> expertFactors(llvm::StringRef weight,
                                   int64_t expert) const;
  /// Tokens that chose each expert.
  const std::vector<int64_t> &expertTokens(llvm::StringRef weight) const;

  /// Whether a sum is NaN or infinite: names the weight, else "".
  std::string notFinite() const;

  int64_t tokens = 0; ///< of all sequences
  std::string text;   ///< where they come from, for the manifest

private:
  Calibration() = default;
  uint64_t floats(const Input &input) const;
  void addExpert(size_t input, int64_t expert, const float *rows, int64_t n,
                 const int32_t *chosen, int64_t slots);
  void addDiagonals(size_t input, int64_t group, const float *rows, int64_t n,
                    const int32_t *chosen, int64_t slots);

  std::vector<Input> all;
  std::vector<uint64_t> offsets;            // by input, in floats
  std::vector<std::vector<int64_t>> chosen; // by input and expert: tokens
  std::vector<int64_t> seen;                // by input: tokens of all experts
  int64_t ownColumns = groupColumns; // of a group of an expert's own sums
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
