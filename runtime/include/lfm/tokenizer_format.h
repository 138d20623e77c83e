/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokenizer tables that lfmc puts into a program: one flat block without
 * pointers, little-endian, aligned to 8 bytes. frontend/Tokenizer.cpp writes
 * it, runtime/src/Tokenizer.cpp reads it. No stability between versions: the
 * magic changes with the layout.
 */
#ifndef LFM_TOKENIZER_FORMAT_H
#define LFM_TOKENIZER_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LFM_TOKENIZER_MAGIC "LFMTOKN1"

/* Header flags. */
enum { LFM_TOKENIZER_IGNORE_MERGES = 1u << 0 };

/* How a text is cut into words before the merges. */
enum {
  LFM_SPLIT_LLAMA3 = 1, /* LLaMA 3's expression, also LFM2's */
  LFM_SPLIT_GPT2 = 2    /* ByteLevel(use_regex = true) */
};

/* What a checkpoint's chat template does. 0: there is none. */
enum {
  LFM_CHAT_HAS_CHATML = 1u << 0,    /* <|im_start|>role\n...<|im_end|>\n */
  LFM_CHAT_HAS_BOS = 1u << 1,       /* begins with the BOS token */
  LFM_CHAT_MERGES_SYSTEM = 1u << 2, /* system text and tools share one turn,
                                       which is left out when empty */
  LFM_CHAT_TOOL_MARKERS = 1u
                          << 3, /* <|tool_list_start|>[...]<|tool_list_end|> */
  LFM_CHAT_TOOL_RESPONSE = 1u << 4, /* <|tool_response_start|>...<|..._end|> */
  LFM_CHAT_STRIPS_THINK = 1u << 5,  /* past answers lose ...</think> */
  LFM_CHAT_STRIPS_BUT_LAST = 1u << 6, /* ... all answers but the last one lose
                                         it; else those before the last user
                                         turn */
  LFM_CHAT_THINK_PROMPT = 1u << 7,    /* the assistant line ends with <think> */
  LFM_CHAT_TOOL_DATE = 1u << 8,       /* "Today's date: ..." before the tools */
  LFM_CHAT_TOOL_PARAGRAPH = 1u << 9 /* an empty line, not a line end, before the
                                       tools */
};

/* Flags of one token. */
enum {
  LFM_TOKEN_KNOWN = 1u << 0,
  LFM_TOKEN_ADDED = 1u << 1,
  LFM_TOKEN_SPECIAL = 1u << 2
};

/* Flags of one added token. */
enum {
  LFM_ADDED_SPECIAL = 1u << 0,
  LFM_ADDED_LSTRIP = 1u << 1, /* takes the white space before it */
  LFM_ADDED_RSTRIP = 1u << 2,
  LFM_ADDED_SINGLE_WORD = 1u << 3, /* only between non-word characters */
  LFM_ADDED_NORMALIZED = 1u << 4   /* looked for after all the others */
};

typedef struct lfm_tokenizer_section {
  uint32_t offset; /* bytes from the start of the block, a multiple of 8 */
  uint32_t count;  /* elements */
} lfm_tokenizer_section;

/* Two neighbours that become one token. Open addressing, linear probing, a
 * power of two of slots; a free slot has left = UINT32_MAX. */
typedef struct lfm_tokenizer_merge {
  uint32_t left, right; /* token ids */
  uint32_t rank;        /* lower is merged first */
  uint32_t token;       /* the result */
} lfm_tokenizer_merge;

typedef struct lfm_tokenizer_added {
  uint32_t offset, bytes; /* its spelling, within `added_text` */
  int32_t token;
  uint32_t flags; /* LFM_ADDED_* */
} lfm_tokenizer_added;

typedef struct lfm_tokenizer_header {
  char magic[8];
  uint32_t bytes;                /* of the whole block */
  uint32_t flags;                /* LFM_TOKENIZER_* */
  uint32_t split;                /* LFM_SPLIT_* */
  uint32_t chat;                 /* LFM_CHAT_* */
  int32_t token_count;           /* largest id + 1 */
  uint32_t max_token_bytes;      /* of `text` */
  int32_t bos;                   /* -1: none */
  uint32_t reserved;             /* 0 */
  lfm_tokenizer_section offsets, /* uint32_t[token_count + 1] into `text` */
      text,                      /* uint8_t: the bytes each token stands for */
      flags_of,                  /* uint8_t[token_count]: LFM_TOKEN_* */
      byte_ids,   /* int32_t[256]: the token of one byte; -1: none */
      merges,     /* lfm_tokenizer_merge[] */
      words,      /* uint32_t[]: token + 1 of a vocabulary entry, found by the
                     hash of its bytes; 0: free; a power of two of slots */
      added,      /* lfm_tokenizer_added[], sorted by spelling (as bytes) */
      added_text, /* uint8_t */
      prefix,     /* int32_t: tokens before a text (BOS) */
      suffix;     /* int32_t: tokens after a text */
} lfm_tokenizer_header;

/* First slot of a pair in `merges`, before masking. */
static inline uint32_t lfm_tokenizer_hash_pair(uint32_t left, uint32_t right) {
  uint64_t h = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 13);
}

/* First slot of a word in `words`, before masking. */
static inline uint32_t lfm_tokenizer_hash_word(const uint8_t *p, size_t n) {
  uint64_t h = n * UINT64_C(0x9e3779b97f4a7c15);
  uint64_t word;
  for (; n >= 8; n -= 8, p += 8) {
    memcpy(&word, p, 8);
    h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 32;
  }
  word = 0;
  memcpy(&word, p, n);
  h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
  h ^= h >> 32;
  h *= UINT64_C(0xc4ceb9fe1a85ec53);
  return (uint32_t)(h >> 32);
}

#endif /* LFM_TOKENIZER_FORMAT_H */
