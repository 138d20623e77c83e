// SPDX-License-Identifier: Apache-2.0
//
// The split expressions of byte-level BPE as a scanner. In the order of the
// alternatives (LLaMA 3; the first that matches wins):
//   (?i:'s|'t|'re|'ve|'m|'ll|'d)  [^\r\n\p{L}\p{N}]?\p{L}+  \p{N}{1,3}
//   ' '?[^\s\p{L}\p{N}]+[\r\n]*  \s*[\r\n]+  \s+(?!\S)  \s+
// and GPT-2:
//   's|'t|'re|'ve|'m|'ll|'d  ' '?\p{L}+  ' '?\p{N}+  ' '?[^\s\p{L}\p{N}]+
//   \s+(?!\S)  \s+
#include "Tokenizer.h"

#include "UnicodeTables.inc"

namespace lfm_rt {

size_t utf8Length(const uint8_t *p, const uint8_t *end, bool *cut,
                  size_t *invalid) {
  if (cut)
    *cut = false;
  if (invalid)
    *invalid = 1;
  uint8_t lead = p[0];
  if (lead < 0x80)
    return 1;
  size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4)
    return 0;
  // Overlong forms, surrogates and numbers past U+10FFFF show in byte two.
  uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i < bytes; ++i) {
    if (p + i == end) {
      if (cut)
        *cut = true;
      return 0;
    }
    if (p[i] < low || p[i] > high)
      return 0;
    if (invalid)
      *invalid = i + 1;
    low = 0x80;
    high = 0xbf;
  }
  return bytes;
}

static uint32_t classOf(uint32_t code) {
  uint8_t pair = kUnicodePages[kUnicodeIndex[code >> 8]][(code & 255) >> 1];
  return code & 1 ? pair >> 4 : pair & 15;
}

Char charAt(const uint8_t *p, const uint8_t *end) {
  uint32_t code = p[0];
  size_t bytes = 1;
  if (code >= 0x80) {
    bytes = utf8Length(p, end);
    if (bytes == 0)
      return {Other, false, 1};
    code &= 0x7fu >> bytes;
    for (size_t i = 1; i < bytes; ++i)
      code = code << 6 | (p[i] & 0x3f);
  }
  uint32_t packed = classOf(code);
  return {static_cast<CharClass>(packed & 3), (packed & 4) != 0,
          static_cast<uint8_t>(bytes)};
}

namespace {

bool isLineEnd(uint8_t c) { return c == '\r' || c == '\n'; }

/// Skips characters of `kind`, at most `limit`.
const uint8_t *skip(const uint8_t *p, const uint8_t *end, CharClass kind,
                    size_t limit = SIZE_MAX) {
  for (; p < end && limit; --limit) {
    Char c = charAt(p, end);
    if (c.kind != kind)
      break;
    p += c.bytes;
  }
  return p;
}

uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/// Bytes of a contraction at p, which is an apostrophe, or 0.
size_t contraction(const uint8_t *p, const uint8_t *end, bool anyCase) {
  size_t left = static_cast<size_t>(end - p);
  if (left < 2)
    return 0;
  uint8_t first = anyCase ? lower(p[1]) : p[1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd')
    return 2;
  if (left < 3)
    return 0;
  // U+017F, the long s, is a case of s.
  if (anyCase && p[1] == 0xc5 && p[2] == 0xbf)
    return 3;
  uint8_t second = anyCase ? lower(p[2]) : p[2];
  bool match = (first == 'r' && second == 'e') ||
               (first == 'v' && second == 'e') ||
               (first == 'l' && second == 'l');
  return match ? 3 : 0;
}

/// The alternatives for white space: the run [p, e) starts at p.
const uint8_t *spaceWord(const uint8_t *p, const uint8_t *end, bool lineEnds) {
  const uint8_t *run = p, *last = p, *lineEnd = nullptr;
  while (run < end) {
    Char c = charAt(run, end);
    if (c.kind != Space)
      break;
    last = run;
    if (isLineEnd(*run))
      lineEnd = run + 1;
    run += c.bytes;
  }
  if (lineEnds && lineEnd)
    return lineEnd;
  // The last one goes to the word that follows, if there are two or more.
  return run < end && last > p ? last : run;
}

const uint8_t *llama3Word(const uint8_t *p, const uint8_t *end) {
  if (*p == '\'')
    if (size_t bytes = contraction(p, end, true))
      return p + bytes;
  Char c = charAt(p, end);
  const uint8_t *rest = p + c.bytes;
  if (c.kind == Letter)
    return skip(rest, end, Letter);
  if (c.kind == Number)
    return skip(rest, end, Number, 2);
  Char next = rest < end ? charAt(rest, end) : Char{Space, false, 0};
  if (!isLineEnd(*p) && next.kind == Letter)
    return skip(rest + next.bytes, end, Letter);
  if (c.kind == Other || (*p == ' ' && next.kind == Other)) {
    rest = skip(rest, end, Other);
    while (rest < end && isLineEnd(*rest))
      ++rest;
    return rest;
  }
  return spaceWord(p, end, true);
}

const uint8_t *gpt2Word(const uint8_t *p, const uint8_t *end) {
  if (*p == '\'')
    if (size_t bytes = contraction(p, end, false))
      return p + bytes;
  const uint8_t *first = p;
  if (*p == ' ' && p + 1 < end && charAt(p + 1, end).kind != Space)
    ++first;
  Char c = charAt(first, end);
  if (c.kind != Space)
    return skip(first + c.bytes, end, c.kind);
  return spaceWord(p, end, false);
}

} // namespace

size_t nextWord(uint32_t split, const uint8_t *p, const uint8_t *end) {
  const uint8_t *rest =
      split == LFM_SPLIT_GPT2 ? gpt2Word(p, end) : llama3Word(p, end);
  return static_cast<size_t>(rest - p);
}

} // namespace lfm_rt
