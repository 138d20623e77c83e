// SPDX-License-Identifier: Apache-2.0
#include "Tokenizer.h"

#include <cstring>

using namespace lfm_rt;

int32_t lfm_tokenizer::findWord(const uint8_t *p, size_t n) const {
  if (n > header.max_token_bytes)
    return -1;
  const uint32_t *words = section<uint32_t>(header.words);
  uint32_t mask = header.words.count - 1;
  for (uint32_t slot = lfm_tokenizer_hash_word(p, n) & mask; words[slot];
       slot = (slot + 1) & mask) {
    int32_t id = static_cast<int32_t>(words[slot] - 1);
    size_t bytes;
    const uint8_t *spelling = text(id, bytes);
    if (bytes == n && std::memcmp(spelling, p, n) == 0)
      return id;
  }
  return -1;
}

//===----------------------------------------------------------------------===//
// Added tokens
//===----------------------------------------------------------------------===//

namespace {

/// Finds added tokens in a text, as two passes of the reference do: first those
/// that are not normalized, then the others in what lies between.
class AddedTokens {
public:
  AddedTokens(const lfm_tokenizer &tokenizer, const uint8_t *text,
              uint32_t flags, const Span *plain, size_t plainCount)
      : header(tokenizer.header),
        entries(tokenizer.section<lfm_tokenizer_added>(header.added)),
        spellings(tokenizer.section<uint8_t>(header.added_text)), text(text),
        flags(flags), plain(plain), plainCount(plainCount) {
    for (uint32_t i = 0; i < header.added.count; ++i) {
      bool normalized = entries[i].flags & LFM_ADDED_NORMALIZED;
      any[normalized] = true;
      first[spellings[entries[i].offset]] |= 1 << normalized;
    }
  }

  bool anyOf(bool normalized) const { return any[normalized]; }

  struct Match {
    const lfm_tokenizer_added *entry = nullptr;
    size_t begin = 0, end = 0;
  };

  /// The first match in [from, end) of the segment [segment.begin,
  /// segment.end); `taken` is where the last match ended. entry is null if
  /// there is none.
  Match next(const Span &segment, size_t from, size_t taken, bool normalized) {
    while (from < segment.end) {
      if (!(first[text[from]] & 1 << normalized)) {
        ++from;
        continue;
      }
      const lfm_tokenizer_added *entry = longest(from, segment.end, normalized);
      if (!entry) {
        ++from;
        continue;
      }
      size_t begin = from, end = from + entry->bytes;
      // A rejected match still takes its text: the reference scans once.
      if (!accepts(*entry, segment, begin, end)) {
        from = inPlain(begin, end) ? from + 1 : end;
        continue;
      }
      if (entry->flags & LFM_ADDED_LSTRIP)
        begin = stripLeft(taken, begin);
      if (entry->flags & LFM_ADDED_RSTRIP)
        while (end < segment.end) {
          Char c = charAt(text + end, text + segment.end);
          if (c.kind != Space)
            break;
          end += c.bytes;
        }
      return {entry, begin, end};
    }
    return {};
  }

private:
  /// The longest entry that [at, end) starts with. The entries are sorted, so
  /// those that share the first k bytes are neighbours.
  const lfm_tokenizer_added *longest(size_t at, size_t end, bool normalized) {
    const lfm_tokenizer_added *found = nullptr;
    uint32_t low = 0, high = header.added.count;
    for (size_t k = 0; at + k < end && low < high; ++k) {
      uint8_t wanted = text[at + k];
      low = bound(low, high, k, wanted);
      high = bound(low, high, k, wanted + 1u);
      if (low < high && entries[low].bytes == k + 1) {
        // Equal spellings do not occur: the compiler refuses them.
        bool matches =
            ((entries[low].flags & LFM_ADDED_NORMALIZED) != 0) == normalized;
        if (matches)
          found = &entries[low];
        ++low;
      }
    }
    return found;
  }

  /// First of [low, high) whose byte k is at least `value`; all have byte k.
  uint32_t bound(uint32_t low, uint32_t high, size_t k, uint32_t value) const {
    while (low < high) {
      uint32_t middle = low + (high - low) / 2;
      if (spellings[entries[middle].offset + k] < value)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  bool inPlain(size_t begin, size_t end) const {
    for (size_t i = 0; i < plainCount && plain[i].begin < end; ++i)
      if (plain[i].end > begin)
        return true;
    return false;
  }

  bool accepts(const lfm_tokenizer_added &entry, const Span &segment,
               size_t begin, size_t end) const {
    if (entry.flags & LFM_ADDED_SPECIAL)
      if (!(flags & LFM_TOKENIZE_PARSE_SPECIAL) || inPlain(begin, end))
        return false;
    if (entry.flags & LFM_ADDED_SINGLE_WORD) {
      if (begin > segment.begin) {
        size_t before = previous(segment.begin, begin);
        if (charAt(text + before, text + segment.end).word)
          return false;
      }
      if (end < segment.end && charAt(text + end, text + segment.end).word)
        return false;
    }
    return true;
  }

  /// Start of the character that ends at `at`.
  size_t previous(size_t begin, size_t at) const {
    size_t start = at - 1;
    while (start > begin && at - start < 4 && (text[start] & 0xc0) == 0x80)
      --start;
    return charAt(text + start, text + at).bytes == at - start ? start : at - 1;
  }

  size_t stripLeft(size_t taken, size_t at) const {
    while (at > taken) {
      size_t start = previous(taken, at);
      if (charAt(text + start, text + at).kind != Space)
        break;
      at = start;
    }
    return at;
  }

  const lfm_tokenizer_header &header;
  const lfm_tokenizer_added *entries;
  const uint8_t *spellings;
  const uint8_t *text;
  uint32_t flags;
  const Span *plain;
  size_t plainCount;
  bool any[2] = {};
  uint8_t first[256] = {}; // bit n: a token of pass n starts with this byte
};

struct Encoding {
  const lfm_tokenizer &tokenizer;
  const uint8_t *text;
  AddedTokens added;
  WordEncoder words;
  TokenSink &sink;

  bool encodeWords(Span segment) {
    const uint8_t *p = text + segment.begin, *end = text + segment.end;
    while (p < end) {
      size_t bytes = nextWord(tokenizer.header.split, p, end);
      if (!words.encode(p, bytes, sink))
        return false;
      p += bytes;
    }
    return true;
  }

  bool encode(Span segment, bool normalized) {
    if (!added.anyOf(normalized))
      return normalized ? encodeWords(segment) : encode(segment, true);
    size_t taken = segment.begin, from = segment.begin;
    for (;;) {
      AddedTokens::Match match = added.next(segment, from, taken, normalized);
      Span between{taken, match.entry ? match.begin : segment.end};
      if (between.begin < between.end &&
          !(normalized ? encodeWords(between) : encode(between, true)))
        return false;
      if (!match.entry)
        return true;
      sink.push(match.entry->token);
      taken = from = match.end;
    }
  }
};

} // namespace

lfm_status lfm_rt::tokenize(const lfm_tokenizer &tokenizer, const uint8_t *text,
                            size_t bytes, uint32_t flags, const Span *plain,
                            size_t plainCount, TokenSink &sink) {
  const lfm_tokenizer_header &header = tokenizer.header;
  bool whole = flags & LFM_TOKENIZE_ADD_SPECIAL;
  for (uint32_t i = 0; whole && i < header.prefix.count; ++i)
    sink.push(tokenizer.section<int32_t>(header.prefix)[i]);
  Encoding encoding{tokenizer, text,
                    AddedTokens(tokenizer, text, flags, plain, plainCount),
                    WordEncoder(tokenizer), sink};
  if (!encoding.encode({0, bytes}, false))
    return LFM_ERROR_OUT_OF_MEMORY;
  for (uint32_t i = 0; whole && i < header.suffix.count; ++i)
    sink.push(tokenizer.section<int32_t>(header.suffix)[i]);
  return sink.count <= sink.capacity ? LFM_OK : LFM_ERROR_BUFFER_TOO_SMALL;
}

//===----------------------------------------------------------------------===//
// C interface
//===----------------------------------------------------------------------===//

static bool powerOfTwo(uint32_t n) { return n && !(n & (n - 1)); }

lfm_status lfm_tokenizer_open(const void *tables, size_t bytes,
                              const lfm_tokenizer **tokenizer) {
  if (!tables || !tokenizer || reinterpret_cast<uintptr_t>(tables) % 8)
    return LFM_ERROR_INVALID_ARGUMENT;
  *tokenizer = nullptr;
  if (bytes < sizeof(lfm_tokenizer_header))
    return LFM_ERROR_TOKENIZER;
  auto *t = static_cast<const lfm_tokenizer *>(tables);
  const lfm_tokenizer_header &h = t->header;
  if (std::memcmp(h.magic, LFM_TOKENIZER_MAGIC, 8) != 0 || h.bytes != bytes ||
      h.token_count <= 0)
    return LFM_ERROR_TOKENIZER;
  uint64_t count = static_cast<uint64_t>(h.token_count);
  struct {
    const lfm_tokenizer_section &section;
    size_t size;
    uint64_t wanted;
  } sections[] = {{h.offsets, 4, count + 1},
                  {h.text, 1, h.text.count},
                  {h.flags_of, 1, count},
                  {h.byte_ids, 4, 256},
                  {h.merges, sizeof(lfm_tokenizer_merge), h.merges.count},
                  {h.words, 4, h.words.count},
                  {h.added, sizeof(lfm_tokenizer_added), h.added.count},
                  {h.added_text, 1, h.added_text.count},
                  {h.prefix, 4, h.prefix.count},
                  {h.suffix, 4, h.suffix.count}};
  for (auto &s : sections)
    if (s.section.offset % 8 || s.section.offset > bytes ||
        s.section.count != s.wanted ||
        s.section.count > (bytes - s.section.offset) / s.size)
      return LFM_ERROR_TOKENIZER;
  if (!powerOfTwo(h.merges.count) || !powerOfTwo(h.words.count) ||
      t->section<uint32_t>(h.offsets)[h.token_count] != h.text.count)
    return LFM_ERROR_TOKENIZER;
  *tokenizer = t;
  return LFM_OK;
}

lfm_status lfm_tokenize(const lfm_tokenizer *tokenizer, const char *text,
                        size_t bytes, uint32_t flags, int32_t *tokens,
                        size_t capacity, size_t *count) {
  if (!tokenizer || !count || (!text && bytes) || (!tokens && capacity) ||
      flags > (LFM_TOKENIZE_ADD_SPECIAL | LFM_TOKENIZE_PARSE_SPECIAL))
    return LFM_ERROR_INVALID_ARGUMENT;
  TokenSink sink{tokens, capacity};
  lfm_status status =
      tokenize(*tokenizer, reinterpret_cast<const uint8_t *>(text), bytes,
               flags, nullptr, 0, sink);
  *count = sink.count;
  return status;
}

int32_t lfm_tokenizer_size(const lfm_tokenizer *tokenizer) {
  return tokenizer ? tokenizer->header.token_count : 0;
}

int32_t lfm_token_find(const lfm_tokenizer *tokenizer, const char *text,
                       size_t bytes) {
  if (!tokenizer || !text)
    return -1;
  const lfm_tokenizer_header &h = tokenizer->header;
  auto *entries = tokenizer->section<lfm_tokenizer_added>(h.added);
  for (uint32_t i = 0; i < h.added.count; ++i)
    if (entries[i].bytes == bytes &&
        std::memcmp(tokenizer->section<uint8_t>(h.added_text) +
                        entries[i].offset,
                    text, bytes) == 0)
      return entries[i].token;
  return tokenizer->findWord(reinterpret_cast<const uint8_t *>(text), bytes);
}

const char *lfm_token_bytes(const lfm_tokenizer *tokenizer, int32_t token,
                            size_t *bytes) {
  size_t count = 0;
  const uint8_t *text = nullptr;
  if (tokenizer && tokenizer->known(token) &&
      (tokenizer->section<uint8_t>(tokenizer->header.flags_of)[token] &
       LFM_TOKEN_KNOWN))
    text = tokenizer->text(token, count);
  if (bytes)
    *bytes = count;
  return reinterpret_cast<const char *>(text);
}

int lfm_token_is_special(const lfm_tokenizer *tokenizer, int32_t token) {
  return tokenizer && tokenizer->special(token);
}
