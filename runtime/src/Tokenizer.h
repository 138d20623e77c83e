// SPDX-License-Identifier: Apache-2.0
//
// The parts of the tokenizer: tables, words, merges. See lfm/text.h for what
// they do together.
#ifndef LFM_SRC_TOKENIZER_H
#define LFM_SRC_TOKENIZER_H

#include "Support.h"

#include "lfm/text.h"
#include "lfm/tokenizer_format.h"

/// A tokenizer is its tables; the type has no object of its own.
struct lfm_tokenizer {
  lfm_tokenizer_header header;

  template <typename T>
  const T *section(const lfm_tokenizer_section &s) const {
    return reinterpret_cast<const T *>(reinterpret_cast<const uint8_t *>(this) +
                                       s.offset);
  }
  /// The bytes of token `id`, which must be within 0..token_count-1.
  const uint8_t *text(int32_t id, size_t &bytes) const {
    const uint32_t *offsets = section<uint32_t>(header.offsets);
    bytes = offsets[id + 1] - offsets[id];
    return section<uint8_t>(header.text) + offsets[id];
  }
  bool known(int32_t id) const { return id >= 0 && id < header.token_count; }
  bool special(int32_t id) const {
    return known(id) &&
           (section<uint8_t>(header.flags_of)[id] & LFM_TOKEN_SPECIAL);
  }
  /// The vocabulary entry of these bytes, or -1.
  int32_t findWord(const uint8_t *p, size_t n) const;
};

namespace lfm_rt {

struct Span {
  size_t begin, end;
};

/// Where tokens go: counts all, stores what fits.
struct TokenSink {
  int32_t *tokens;
  size_t capacity;
  size_t count = 0;

  void push(int32_t token) {
    if (count < capacity)
      tokens[count] = token;
    ++count;
  }
};

/// Classes of characters, as in UnicodeTables.inc.
enum CharClass : uint8_t { Other = 0, Letter = 1, Number = 2, Space = 3 };

/// One character at p < end: its class (and whether \w) and length. A byte that
/// is not part of valid UTF-8 is one character of class Other.
struct Char {
  CharClass kind;
  bool word;
  uint8_t bytes;
};
Char charAt(const uint8_t *p, const uint8_t *end);

/// The length of the valid UTF-8 sequence at p, 0 if there is none. If `cut` is
/// given, it is set to whether [p, end) is the start of a valid sequence.
/// Otherwise *invalid is the length of the maximal broken part (>= 1).
size_t utf8Length(const uint8_t *p, const uint8_t *end, bool *cut = nullptr,
                  size_t *invalid = nullptr);

/// Bytes of the first word of [p, end) by the LFM_SPLIT_* rule; p < end.
size_t nextWord(uint32_t split, const uint8_t *p, const uint8_t *end);

/// Byte-pair encoding of one word. Reused between words for its memory.
class WordEncoder {
public:
  explicit WordEncoder(const lfm_tokenizer &tokenizer);

  /// Appends the tokens of the word; false if there is no memory.
  bool encode(const uint8_t *word, size_t bytes, TokenSink &sink);

private:
  struct Symbol {
    int32_t token; // -1: merged into the one before
    int32_t previous, next;
  };
  struct Candidate {
    uint32_t rank;
    int32_t position, left, right;
    bool before(const Candidate &other) const {
      return rank != other.rank ? rank < other.rank : position < other.position;
    }
  };

  const lfm_tokenizer_merge *findMerge(int32_t left, int32_t right) const;
  void encodeShort(const uint8_t *word, size_t bytes, TokenSink &sink);
  bool encodeLong(const uint8_t *word, size_t bytes, TokenSink &sink);
  void pushCandidate(int32_t position);
  Candidate popCandidate();

  const lfm_tokenizer &tokenizer;
  const lfm_tokenizer_merge *merges;
  uint32_t mergeMask;
  const int32_t *byteIds;
  Buffer<Symbol> symbols;
  Buffer<Candidate> heap;
  size_t heapSize = 0;
};

/// Tokenizes `text`. In the `plain` spans (sorted, disjoint) no special token
/// is recognised.
lfm_status tokenize(const lfm_tokenizer &tokenizer, const uint8_t *text,
                    size_t bytes, uint32_t flags, const Span *plain,
                    size_t plainCount, TokenSink &sink);

} // namespace lfm_rt

#endif // LFM_SRC_TOKENIZER_H
