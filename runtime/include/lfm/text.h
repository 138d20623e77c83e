/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to tokens and back, and chat text. Part of lfm.h; usable alone.
 *
 * An lfm_tokenizer is immutable tables inside the compiled model: any number of
 * threads may use it at once, nothing has to be released, and it lives as long
 * as the program it is part of. Text is UTF-8 without a terminating NUL unless
 * said otherwise; bytes that are no UTF-8 are accepted and survive the way to
 * tokens and back as far as the vocabulary has them.
 */
#ifndef LFM_TEXT_H
#define LFM_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "lfm/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lfm_tokenizer lfm_tokenizer;

/* Checks the tables of `tables` (see tokenizer_format.h; aligned to 8 bytes,
 * must outlive *tokenizer) and returns them as a tokenizer. Applications use
 * lfm_model_tokenizer() instead. LFM_ERROR_TOKENIZER if damaged. */
LFM_API lfm_status lfm_tokenizer_open(const void *tables, size_t bytes,
                                      const lfm_tokenizer **tokenizer);

enum {
  /* Adds what the checkpoint's template adds to a bare text: LFM2's
   * <|startoftext|>. Chat text has it already. */
  LFM_TOKENIZE_ADD_SPECIAL = 1u << 0,
  /* Recognises special tokens ("<|im_end|>") in the text. Without it they are
   * plain characters: use that for text from outside. Added tokens that are
   * not special are always recognised. */
  LFM_TOKENIZE_PARSE_SPECIAL = 1u << 1
};

/* Splits `text` into tokens. *count is set to the number of tokens of the whole
 * text, also when `capacity` was too small (LFM_ERROR_BUFFER_TOO_SMALL; the
 * first `capacity` tokens are stored). bytes + 16 tokens always suffice.
 * `tokens` may be null if capacity is 0. Allocates only for words of more than
 * 64 bytes. Linear in `bytes` up to a logarithmic factor. */
LFM_API lfm_status lfm_tokenize(const lfm_tokenizer *tokenizer,
                                const char *text, size_t bytes, uint32_t flags,
                                int32_t *tokens, size_t capacity,
                                size_t *count);

enum {
  /* Leaves out special tokens, as decode(skip_special_tokens=True) does. */
  LFM_DETOKENIZE_SKIP_SPECIAL = 1u << 0
};

/* The text of `tokens`: always valid UTF-8, each maximal broken sequence
 * becomes U+FFFD (as Python's bytes.decode("utf-8", "replace")). Ids that the
 * tokenizer does not know have no text. *bytes is set to the length of the
 * whole text, also on LFM_ERROR_BUFFER_TOO_SMALL; if capacity > *bytes a NUL
 * follows the text. */
LFM_API lfm_status lfm_detokenize(const lfm_tokenizer *tokenizer,
                                  const int32_t *tokens, size_t count,
                                  uint32_t flags, char *text, size_t capacity,
                                  size_t *bytes);

/* A streaming decoder: holds back the bytes of a character until its last token
 * has come. Start with all zeros; nothing to release. */
typedef struct lfm_decoder {
  uint8_t pending[4]; /* an incomplete UTF-8 sequence */
  uint8_t count;      /* bytes in `pending` */
} lfm_decoder;

/* Decodes one more token (the pieces of a sequence concatenate to the text that
 * lfm_detokenize gives). At most lfm_tokenizer_max_text() bytes; on
 * LFM_ERROR_BUFFER_TOO_SMALL *bytes is the needed size and the decoder is
 * unchanged. */
LFM_API lfm_status lfm_decode_token(const lfm_tokenizer *tokenizer,
                                    lfm_decoder *decoder, int32_t token,
                                    uint32_t flags, char *text, size_t capacity,
                                    size_t *bytes);

/* Ends the text: writes U+FFFD (3 bytes) if a sequence is incomplete. Returns
 * the number of bytes, 0 or 3; `text` must hold 3. */
LFM_API size_t lfm_decode_finish(lfm_decoder *decoder, char *text);

/* Upper bound of what one lfm_decode_token() writes. */
LFM_API size_t lfm_tokenizer_max_text(const lfm_tokenizer *tokenizer);

/* Number of ids: one more than the largest known token. At most the model's
 * vocab_size; the rows between are unused. */
LFM_API int32_t lfm_tokenizer_size(const lfm_tokenizer *tokenizer);

/* The id of the token that is spelled exactly `text` (special tokens as in
 * "<|im_end|>", others by their bytes), or -1. */
LFM_API int32_t lfm_token_find(const lfm_tokenizer *tokenizer, const char *text,
                               size_t bytes);

/* The bytes that `token` stands for, possibly part of a character; not
 * terminated. Returns null and 0 for an unknown id. */
LFM_API const char *lfm_token_bytes(const lfm_tokenizer *tokenizer,
                                    int32_t token, size_t *bytes);

/* Whether `token` is a special token: 1 or 0. */
LFM_API int lfm_token_is_special(const lfm_tokenizer *tokenizer, int32_t token);

/*===---------------------------- Chat text ------------------------------===*/

typedef struct lfm_chat_message {
  const char *role; /* NUL-terminated: "system", "user", "assistant", "tool" */
  const char *content; /* NUL-terminated */
} lfm_chat_message;

enum {
  /* Ends with the line that makes the model answer. */
  LFM_CHAT_GENERATE = 1u << 0,
  /* LFM2.5: keeps <think>...</think> of earlier answers. */
  LFM_CHAT_KEEP_THINKING = 1u << 1,
  /* lfm_chat_tokenize: recognises special tokens in roles and contents too.
   * Without it a user cannot forge the end of a turn. */
  LFM_CHAT_PARSE_CONTENT = 1u << 2,
  /* Leaves out <|startoftext|>: for turns that continue a session. */
  LFM_CHAT_NO_BOS = 1u << 3
};

typedef enum lfm_chat_template {
  LFM_CHAT_TEMPLATE_MODEL = 0, /* what the compiled checkpoint declares */
  LFM_CHAT_TEMPLATE_LFM2 = 1,
  LFM_CHAT_TEMPLATE_LFM2_5 = 2
} lfm_chat_template;

/* All zero: the model's own template, no tools, no final assistant line. */
typedef struct lfm_chat_options {
  uint32_t flags;           /* LFM_CHAT_* */
  int32_t chat_template;    /* lfm_chat_template */
  const char *const *tools; /* tool_count JSON texts, one function each */
  size_t tool_count;
  const char *date; /* YYYY-MM-DD for templates that state the date before the
                       tools; null leaves the line out, so that the prompt stays
                       the same from day to day */
} lfm_chat_options;

/* Writes the text of a conversation as the checkpoint's template does. *bytes
 * is set to the length of the whole text, also on LFM_ERROR_BUFFER_TOO_SMALL;
 * if capacity > *bytes a NUL follows. LFM_ERROR_NO_CHAT_TEMPLATE if the
 * checkpoint has none. LFM2.5 strips everything up to the last </think> from
 * earlier answers: re-rendered history then differs from the tokens that a
 * session has seen. */
LFM_API lfm_status lfm_chat_format(const lfm_tokenizer *tokenizer,
                                   const lfm_chat_message *messages, size_t n,
                                   const lfm_chat_options *options, char *text,
                                   size_t capacity, size_t *bytes);

/* The tokens of that text; capacity and *count as in lfm_tokenize. The markers
 * of the template become special tokens, the messages only with
 * LFM_CHAT_PARSE_CONTENT. Allocates memory for the text and releases it. */
LFM_API lfm_status lfm_chat_tokenize(const lfm_tokenizer *tokenizer,
                                     const lfm_chat_message *messages, size_t n,
                                     const lfm_chat_options *options,
                                     int32_t *tokens, size_t capacity,
                                     size_t *count);

#ifdef __cplusplus
}
#endif
#endif /* LFM_TEXT_H */
