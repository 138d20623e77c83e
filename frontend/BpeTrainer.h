// SPDX-License-Identifier: Apache-2.0
//
// Byte-pair encoding learnt from counted words, for synthetic tokenizers.
#ifndef LFMC_FRONTEND_BPETRAINER_H
#define LFMC_FRONTEND_BPETRAINER_H

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"

#include <cstdint>
#include <queue>
#include <string>
#include <vector>

namespace lfmc {

/// A pretoken of the training text and how often it occurs.
struct CountedWord {
  std::string bytes;
  int64_t count;
};

/// Merges the most frequent pair of neighbours again and again. Deterministic.
class BpeTrainer {
public:
  struct Merge {
    uint32_t left, right; // indices of pieces
  };

  explicit BpeTrainer(const std::vector<CountedWord> &input);

  /// Learns until there are `wanted` pieces or nothing is left to merge.
  void train(size_t wanted);

  /// The 256 bytes, then what was merged, in order; distinct.
  std::vector<std::string> pieces;
  /// In the order in which they were learnt. Two may give the same piece.
  std::vector<Merge> merges;

private:
  using Pair = std::pair<uint32_t, uint32_t>;
  struct Word {
    llvm::SmallVector<uint32_t, 12> symbols;
    int64_t count;
  };
  struct PairInfo {
    int64_t count = 0;
    std::vector<uint32_t> words; // may list a word that lost the pair since
  };
  struct Candidate {
    int64_t count;
    Pair pair;
    // Ties are broken by the pair, so that the result does not depend on the
    // order of a hash table.
    bool operator<(const Candidate &other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  void addPairs(uint32_t index, std::vector<Pair> *changed);
  void merge(Pair pair);

  std::vector<Word> words;
  llvm::DenseMap<Pair, PairInfo> pairs;
  llvm::StringMap<uint32_t> ids;
  std::priority_queue<Candidate> queue; // may hold outdated counts
};

} // namespace lfmc

#endif // LFMC_FRONTEND_BPETRAINER_H
