/* SPDX-License-Identifier: Apache-2.0
 *
 * Running a model that lfmc compiled.
 *
 *   lfm_model *model;
 *   lfm_session *session;
 *   char message[256];
 *   if (lfm_model_open(NAME_program(), "NAME.weights", NULL, &model, message,
 *                      sizeof message) != LFM_OK) ...
 *   lfm_session_create(model, NULL, &session, message, sizeof message);
 *   lfm_generate(session, tokens, count, NULL, print_token, NULL, NULL);
 *   lfm_session_destroy(session);
 *   lfm_model_close(model);
 *
 * Threads: a model is immutable and any number of threads may use it at once. A
 * session is mutable but self-contained: one thread at a time, different
 * sessions at the same time. lfm_session_cancel() alone may be called on a
 * session from anywhere, also from a signal handler.
 *
 * Memory: a session's memory is mapped when it is created (pages become real
 * when they are first touched). After that no function that takes a session
 * allocates, and a step makes no system call but to wait for its threads
 * (see expert_mib for another);
 * lfm_session_set_threads() is the exception.
 */
#ifndef LFM_LFM_H
#define LFM_LFM_H

#include <stddef.h>
#include <stdint.h>

#include "lfm/status.h"
#include "lfm/text.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lfm_program; /* a compiled model; program.h */
typedef struct lfm_model lfm_model;
typedef struct lfm_session lfm_session;

/*===------------------------------ Model --------------------------------===*/

enum {
  /* Reads the weights into memory instead of mapping the file: slower to open,
   * but the file may then change or vanish. Mapped weights must stay as they
   * are while the model is open. */
  LFM_MODEL_READ = 1u << 0,
  /* Asks the system to start reading the file now (MADV_WILLNEED); without
   * effect where expert_mib has one. */
  LFM_MODEL_PREFETCH = 1u << 1,
  /* Asks for huge pages (MADV_HUGEPAGE); useful with LFM_MODEL_READ. */
  LFM_MODEL_HUGE_PAGES = 1u << 2
};

typedef struct lfm_model_options {
  uint32_t flags; /* LFM_MODEL_* */
  /* For a mixture of experts whose file is larger than the memory: keep at most
   * so many MiB of experts in memory, those last used, or those that one step's
   * tokens choose in one layer, if these are more. Counts what this process
   * maps and what the system caches of the file, but for pages that other
   * processes map. The system is asked to read chosen experts (MADV_WILLNEED)
   * before a layer needs them; a step then makes system calls. 0: leave it to
   * the system. Not with LFM_MODEL_READ. */
  uint32_t expert_mib;
  uint32_t reserved[6]; /* must be 0 */
} lfm_model_options;

/* Opens the weights of `program` and checks that program, file, runtime and
 * processor belong together. `program` must outlive the model; `options` may be
 * null. On failure *model is null and, if message_bytes > 0, `message` holds a
 * sentence that names the file, what was found and what was wanted. Touches one
 * page of the file, unless LFM_MODEL_READ. */
LFM_API lfm_status lfm_model_open(const struct lfm_program *program,
                                  const char *weights_path,
                                  const lfm_model_options *options,
                                  lfm_model **model, char *message,
                                  size_t message_bytes);

/* Releases the model; its memory stays until its last session is destroyed.
 * Null is allowed. */
LFM_API void lfm_model_close(lfm_model *model);

/* What a model is. Pointers live as long as the program. */
typedef struct lfm_model_info {
  const char *name, *target, *compiler;
  int32_t vocab_size, hidden_size;
  int32_t max_context; /* positions that a session holds */
  int32_t max_prefill; /* tokens in one step of a prompt */
  int32_t bos, pad;    /* -1: none */
  const int32_t *eos;  /* tokens that end an answer */
  int32_t eos_count;
  uint64_t weights_bytes;            /* the file */
  uint64_t session_bytes;            /* address space of one session */
  uint64_t state_bytes, arena_bytes; /* parts of it */
  uint64_t state_bytes_per_token;    /* of them used per position */
} lfm_model_info;

LFM_API lfm_status lfm_model_get_info(const lfm_model *model,
                                      lfm_model_info *info);

/* The model's tokenizer, or null. Lives as long as the program. */
LFM_API const lfm_tokenizer *lfm_model_tokenizer(const lfm_model *model);

/*===----------------------------- Session -------------------------------===*/

/* Which processors a session's threads run on, where a chip has several kinds.
 */
enum {
  LFM_CORES_ALL = 0, /* as the system schedules them */
  LFM_CORES_BIG = 1  /* Linux, Android: not on little ones, those with less than
                        half of the largest one's capacity, as in sysfs */
};

typedef struct lfm_session_options {
  int32_t threads; /* 0: as many as processors that these options leave of those
                      that this process may use */
  int32_t spin_microseconds; /* how long a waiting thread spins before it
                                sleeps; 0: 50, negative: not at all */
  uint64_t processors;       /* Linux, Android: bit i: processor i; 0: any */
  uint32_t cores;            /* LFM_CORES_*, of these processors */
  uint32_t reserved[3];      /* must be 0 */
} lfm_session_options;

/* Creates a session at position 0. It keeps the model alive. `options` may be
 * null; message as in lfm_model_open. */
LFM_API lfm_status lfm_session_create(lfm_model *model,
                                      const lfm_session_options *options,
                                      lfm_session **session, char *message,
                                      size_t message_bytes);
LFM_API void lfm_session_destroy(lfm_session *session); /* null is allowed */

/* A sentence about the last call on this session that failed; "" if none. Valid
 * until the next call on the session. */
LFM_API const char *lfm_session_message(const lfm_session *session);

/* Reads n tokens (0 allowed without logits) in steps of at most max_prefill. If
 * `logits` is not null it gets the vocab_size logits that follow the last
 * token. Errors leave the session unchanged, but after LFM_ERROR_CANCELLED the
 * steps already done stay (see lfm_session_position). Any way to cut a prompt
 * into calls gives the same state up to rounding. */
LFM_API lfm_status lfm_session_prefill(lfm_session *session,
                                       const int32_t *tokens, size_t n,
                                       float *logits);

/* Reads one token. `logits` as above; null: see lfm_session_last_logits. */
LFM_API lfm_status lfm_session_decode(lfm_session *session, int32_t token,
                                      float *logits);

/* Reads n tokens and stores the logits of every position, float[n][vocab_size];
 * for verification and perplexity. Fastest if `all_logits` is aligned to 64
 * bytes. */
LFM_API lfm_status lfm_session_logits(lfm_session *session,
                                      const int32_t *tokens, size_t n,
                                      float *all_logits);

/* How often a layer's experts were chosen since the session was created or
 * reset. Of a prompt (lfm_session_prefill) layers behind the last attention
 * compute the last tokens only; lfm_session_logits computes all. */
typedef struct lfm_expert_uses {
  int32_t layer;        /* of the model */
  int32_t experts;      /* in it */
  int32_t per_token;    /* of them that a token takes */
  const uint64_t *uses; /* [experts]; valid as long as the session */
} lfm_expert_uses;

/* Of the index-th layer with experts, from 0. LFM_ERROR_INVALID_ARGUMENT: there
 * are not so many. */
LFM_API lfm_status lfm_session_experts(const lfm_session *session,
                                       int32_t index, lfm_expert_uses *uses);

/* The logits after the last token, if the last call on the session computed
 * them (decode always does), else null. Valid until the next call. */
LFM_API const float *lfm_session_last_logits(const lfm_session *session);

/* Number of tokens read so far, and these tokens. */
LFM_API int32_t lfm_session_position(const lfm_session *session);
LFM_API const int32_t *lfm_session_tokens(const lfm_session *session);

/* Starts a new sequence at position 0; forgets a pending cancel. */
LFM_API void lfm_session_reset(lfm_session *session);

/* Number of threads, 1..256. Joins the old threads and starts new ones. On
 * failure the session goes on with one thread. 0: as at creation. */
LFM_API lfm_status lfm_session_set_threads(lfm_session *session,
                                           int32_t threads);
LFM_API int32_t lfm_session_threads(const lfm_session *session);

/* Binds the calling thread to the processors of the session's options, as the
 * session's own threads are from their start: a call on a session computes with
 * them and with the thread that calls, which belongs to the application.
 * Nothing happens if the options left the choice to the system.
 * LFM_ERROR_THREADS: the system refused. */
LFM_API lfm_status lfm_session_bind_thread(lfm_session *session);

/* Stops the call under way on `session` before its next step, or else the next
 * call; that call returns LFM_ERROR_CANCELLED and clears the request. Safe from
 * any thread and from a signal handler. */
LFM_API void lfm_session_cancel(lfm_session *session);

/* Snapshots: position, tokens and the used part of the state. The short
 * convolutions are recurrent, so a position cannot be rewound without one. A
 * snapshot fits every session of the same compiled model, also in another
 * process. _size is the size of a snapshot now. _load rejects anything damaged
 * or foreign (LFM_ERROR_SNAPSHOT) and then leaves the session unchanged.
 * `blob` needs no alignment. */
LFM_API size_t lfm_session_snapshot_size(const lfm_session *session);
LFM_API lfm_status lfm_session_snapshot_save(lfm_session *session, void *blob,
                                             size_t bytes);
LFM_API lfm_status lfm_session_snapshot_load(lfm_session *session,
                                             const void *blob, size_t bytes);

/*===----------------------------- Sampling ------------------------------===*/

/* How the next token is chosen. Filters apply in the order of transformers:
 * repetition_penalty, temperature, top_k, top_p, min_p. A negative value means
 * "as the checkpoint says" and, where it says nothing: temperature 1 (0 if it
 * gives neither temperature nor a filter), top_k 50, the others off. */
typedef struct lfm_sampling {
  float temperature;        /* 0: always the most likely token */
  int32_t top_k;            /* 0: off */
  float top_p;              /* 0 or 1: off */
  float min_p;              /* 0: off */
  float repetition_penalty; /* 0 or 1: off */
  uint64_t seed;            /* equal seeds give equal choices */
} lfm_sampling;

/* Fills in the checkpoint's values and seed 0. */
LFM_API lfm_status lfm_sampling_default(const lfm_model *model,
                                        lfm_sampling *sampling);

/* A sampler on its own, for applications with a loop of their own. */
typedef struct lfm_sampler lfm_sampler;

/* `sampling` must have no negative value (see lfm_sampling_default). */
LFM_API lfm_status lfm_sampler_create(int32_t vocab_size,
                                      const lfm_sampling *sampling,
                                      lfm_sampler **sampler);
LFM_API void lfm_sampler_destroy(lfm_sampler *sampler); /* null is allowed */

/* Chooses from float[vocab_size]. NaN counts as minus infinity;
 * LFM_ERROR_NUMERIC if no logit is finite. Allocates nothing. */
LFM_API lfm_status lfm_sampler_sample(lfm_sampler *sampler, const float *logits,
                                      int32_t *token);

/* Tells the repetition penalty of a token in prompt or answer. */
LFM_API lfm_status lfm_sampler_accept(lfm_sampler *sampler, int32_t token);

/* Forgets accepted tokens and starts the random numbers again from `seed`. */
LFM_API void lfm_sampler_reset(lfm_sampler *sampler, uint64_t seed);

/*===---------------------------- Generation -----------------------------===*/

typedef enum lfm_stop_reason {
  LFM_STOP_NONE = 0, /* an error ended it */
  LFM_STOP_EOS,      /* one of the end tokens */
  LFM_STOP_MAX_TOKENS,
  LFM_STOP_CONTEXT,  /* the context is full */
  LFM_STOP_STRING,   /* one of the stop strings */
  LFM_STOP_CALLBACK, /* the callback asked for it */
  LFM_STOP_CANCELLED /* lfm_session_cancel() */
} lfm_stop_reason;

/* Called once per token, and once at the end with token -1 if text was held
 * back. `text` is `bytes` (0 allowed) bytes of whole UTF-8 characters, not
 * terminated, valid during the call; special tokens have no text. Return 0 to
 * go on. Must not use the session, lfm_session_cancel apart. */
typedef int (*lfm_token_callback)(void *user, int32_t token, const char *text,
                                  size_t bytes);

enum {
  LFM_GENERATE_SPECIAL_TEXT = 1u << 0, /* special tokens come with their text */
  LFM_GENERATE_IGNORE_EOS = 1u << 1    /* end tokens do not stop it */
};

#define LFM_MAX_STOP_STRINGS 16
#define LFM_MAX_STOP_BYTES 256 /* of one stop string */

/* lfm_generate_params_default() and then what you want to change. */
typedef struct lfm_generate_params {
  lfm_sampling sampling;
  int32_t max_tokens;      /* 0: until the context is full */
  uint32_t flags;          /* LFM_GENERATE_* */
  const char *const *stop; /* stop_count NUL-terminated texts; the answer ends
                              before the first that appears */
  int32_t stop_count;
} lfm_generate_params;

LFM_API void lfm_generate_params_default(lfm_generate_params *params);

typedef struct lfm_generate_result {
  lfm_stop_reason reason;
  int32_t stop_token; /* the token that ended it (LFM_STOP_EOS), else -1 */
  int32_t tokens;     /* tokens chosen, the ending one included */
  int32_t pending;    /* the last token chosen; it is NOT yet part of the
                         session's state. Put it before the next prompt to
                         continue. -1: none */
  double prompt_seconds, decode_seconds;
} lfm_generate_result;

/* Reads the prompt (n >= 1) and generates. `params` null: the defaults;
 * `callback` and `result` may be null. LFM_OK whenever `reason` is not
 * LFM_STOP_NONE; LFM_ERROR_CONTEXT_FULL if already the prompt does not fit. The
 * repetition penalty covers all tokens of the session. Without a tokenizer the
 * callback gets no text and stop strings are an error. */
LFM_API lfm_status lfm_generate(lfm_session *session, const int32_t *tokens,
                                size_t n, const lfm_generate_params *params,
                                lfm_token_callback callback, void *user,
                                lfm_generate_result *result);

#ifdef __cplusplus
}
#endif
#endif /* LFM_LFM_H */
