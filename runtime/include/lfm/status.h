/* SPDX-License-Identifier: Apache-2.0
 *
 * Status codes that every function of the runtime's C interface returns.
 */
#ifndef LFM_STATUS_H
#define LFM_STATUS_H

#if defined(__GNUC__)
#define LFM_API __attribute__((visibility("default")))
#else
#define LFM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The library never aborts and never throws: whatever it is given, it answers
 * with one of these. Values do not change between versions. */
typedef enum lfm_status {
  LFM_OK = 0,

  /* The call was wrong. */
  LFM_ERROR_INVALID_ARGUMENT = 1, /* null pointer, negative count, NaN, ... */
  LFM_ERROR_TOKEN_RANGE = 2,      /* a token id outside 0..vocab_size-1 */
  LFM_ERROR_BUFFER_TOO_SMALL =
      3,                      /* the needed size was stored for the caller */
  LFM_ERROR_NO_TOKENIZER = 4, /* the model was compiled without one */
  LFM_ERROR_NO_CHAT_TEMPLATE =
      5, /* the checkpoint has none, or an unknown one */

  /* The program and this machine or this runtime do not match. */
  LFM_ERROR_ABI = 10, /* compiled for another version of the runtime */
  LFM_ERROR_CPU = 11, /* the processor lacks instructions that the code uses */

  /* The system said no. */
  LFM_ERROR_OUT_OF_MEMORY = 20,
  LFM_ERROR_FILE = 21,    /* cannot open, read or map a file */
  LFM_ERROR_THREADS = 22, /* cannot start a thread */

  /* The data is wrong. */
  LFM_ERROR_WEIGHTS = 30,   /* no weights file, truncated, or another model's */
  LFM_ERROR_SNAPSHOT = 31,  /* no snapshot, truncated, or another model's */
  LFM_ERROR_TOKENIZER = 32, /* the tokenizer tables are damaged */
  LFM_ERROR_NUMERIC = 33,   /* no logit is a finite number */

  /* Nothing is wrong, but there is nothing more to do. */
  LFM_ERROR_CONTEXT_FULL = 40, /* position + tokens would exceed max_context */
  LFM_ERROR_CANCELLED = 41     /* lfm_session_cancel() was called */
} lfm_status;

/* A short English text for a status, such as "context is full"; "unknown
 * status" for any other number. Never null; static storage. */
LFM_API const char *lfm_status_string(int status);

#ifdef __cplusplus
}
#endif
#endif /* LFM_STATUS_H */
