// SPDX-License-Identifier: Apache-2.0
#include "Tokenizer.h"

#include <cstring>

using namespace lfm_rt;

namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd"; // U+FFFD

/// Writes text as far as there is room and counts all of it.
struct TextSink {
  char *text;
  size_t capacity;
  size_t count = 0;

  void push(const void *bytes, size_t n) {
    if (count < capacity)
      std::memcpy(text + count, bytes,
                  n < capacity - count ? n : capacity - count);
    count += n;
  }
};

/// Adds bytes to a decoder, passing on what is complete.
void decode(lfm_decoder &decoder, const uint8_t *p, size_t n, TextSink &sink) {
  const uint8_t *end = p + n;
  // First what the last token left open; it takes at most three more bytes.
  while (decoder.count && p < end) {
    uint8_t joined[4];
    size_t have = decoder.count;
    std::memcpy(joined, decoder.pending, have);
    size_t bytes = have;
    while (bytes < 4 && p + (bytes - have) < end) {
      joined[bytes] = p[bytes - have];
      ++bytes;
    }
    bool cut;
    size_t invalid;
    size_t length = utf8Length(joined, joined + bytes, &cut, &invalid);
    if (length) {
      sink.push(joined, length);
      p += length - have;
      decoder.count = 0;
    } else if (cut) {
      std::memcpy(decoder.pending, joined, bytes);
      decoder.count = static_cast<uint8_t>(bytes);
      return;
    } else {
      // What was held back is a valid start, so `invalid` covers it.
      sink.push(kReplacement, 3);
      p += invalid - have;
      decoder.count = 0;
    }
  }
  const uint8_t *good = p; // start of what is valid but not passed on yet
  while (p < end) {
    bool cut;
    size_t invalid;
    size_t length = utf8Length(p, end, &cut, &invalid);
    if (length) {
      p += length;
      continue;
    }
    sink.push(good, static_cast<size_t>(p - good));
    if (cut) {
      decoder.count = static_cast<uint8_t>(end - p);
      std::memcpy(decoder.pending, p, decoder.count);
      return;
    }
    sink.push(kReplacement, 3);
    p += invalid;
    good = p;
  }
  sink.push(good, static_cast<size_t>(p - good));
}

void decodeToken(const lfm_tokenizer &tokenizer, lfm_decoder &decoder,
                 int32_t token, uint32_t flags, TextSink &sink) {
  if (!tokenizer.known(token) ||
      ((flags & LFM_DETOKENIZE_SKIP_SPECIAL) && tokenizer.special(token)))
    return;
  size_t bytes;
  const uint8_t *text = tokenizer.text(token, bytes);
  decode(decoder, text, bytes, sink);
}

} // namespace

size_t lfm_decode_finish(lfm_decoder *decoder, char *text) {
  if (!decoder || !text || !decoder->count)
    return 0;
  decoder->count = 0;
  std::memcpy(text, kReplacement, 3);
  return 3;
}

lfm_status lfm_decode_token(const lfm_tokenizer *tokenizer,
                            lfm_decoder *decoder, int32_t token, uint32_t flags,
                            char *text, size_t capacity, size_t *bytes) {
  if (!tokenizer || !decoder || decoder->count > 3 || !bytes ||
      (!text && capacity) || flags > LFM_DETOKENIZE_SKIP_SPECIAL)
    return LFM_ERROR_INVALID_ARGUMENT;
  lfm_decoder next = *decoder;
  TextSink sink{text, capacity};
  decodeToken(*tokenizer, next, token, flags, sink);
  *bytes = sink.count;
  if (sink.count > capacity)
    return LFM_ERROR_BUFFER_TOO_SMALL;
  *decoder = next;
  return LFM_OK;
}

lfm_status lfm_detokenize(const lfm_tokenizer *tokenizer, const int32_t *tokens,
                          size_t count, uint32_t flags, char *text,
                          size_t capacity, size_t *bytes) {
  if (!tokenizer || !bytes || (!tokens && count) || (!text && capacity) ||
      flags > LFM_DETOKENIZE_SKIP_SPECIAL)
    return LFM_ERROR_INVALID_ARGUMENT;
  lfm_decoder decoder = {};
  TextSink sink{text, capacity};
  for (size_t i = 0; i < count; ++i)
    decodeToken(*tokenizer, decoder, tokens[i], flags, sink);
  char rest[3];
  sink.push(rest, lfm_decode_finish(&decoder, rest));
  *bytes = sink.count;
  if (sink.count > capacity)
    return LFM_ERROR_BUFFER_TOO_SMALL;
  if (sink.count < capacity)
    text[sink.count] = 0;
  return LFM_OK;
}

size_t lfm_tokenizer_max_text(const lfm_tokenizer *tokenizer) {
  // Every byte may be a broken sequence of its own, the pending one included.
  return tokenizer ? 3 * (tokenizer->header.max_token_bytes + size_t{1}) : 0;
}
