// SPDX-License-Identifier: Apache-2.0
//
// A byte-level BPE tokenizer of any size, trained on words that are made up.
#ifndef LFMC_FRONTEND_SYNTHTOKENIZER_H
#define LFMC_FRONTEND_SYNTHTOKENIZER_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lfmc {

/// Ids of a synthetic tokenizer: [0, size) is filled without gaps by the added
/// tokens, then the 256 bytes, then merged pieces, in this order of preference
/// for each free id.
struct SynthTokenizer {
  /// Number of ids that have an entry.
  int64_t size = 0;
  /// Tokens matched before the text is split: id to text.
  std::map<int64_t, std::string> added;
  /// Added tokens that are not marked "special" (kept when decoding).
  std::vector<int64_t> notSpecial;
  /// Token that is put before every text.
  std::string bos = "<|startoftext|>";
  uint64_t seed = 0;

  /// Ids of the 65,536-entry vocabulary (`think`: with <think> and </think>),
  /// the 128,000-entry one, and a small one of `size` entries (at least 320).
  static SynthTokenizer vocab65k(bool think);
  static SynthTokenizer vocab128k();
  static SynthTokenizer small(int64_t size);

  /// tokenizer.json: LLaMA-3 split, byte level, ignore_merges, BOS template.
  std::string json() const;
};

} // namespace lfmc

#endif // LFMC_FRONTEND_SYNTHTOKENIZER_H
