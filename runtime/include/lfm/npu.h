/* SPDX-License-Identifier: Apache-2.0
 *
 * A session on the NPU, for code that runs there: a compiled program with its
 * weights, one sequence, one thread or a team of them. Allocates nothing and
 * calls nothing but the caller's lfm_npu_system. Ids, counts and memory are the
 * caller's; logits are f32[vocab_size].
 */
#ifndef LFM_NPU_H
#define LFM_NPU_H

#include "lfm/program.h"
#include "lfm/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lfm_npu_status {
  LFM_NPU_OK = 0,
  LFM_NPU_ABI = 1,     /* the program was compiled for another runtime */
  LFM_NPU_WEIGHTS = 2, /* no weights file, or of another model or target */
  LFM_NPU_FULL = 3,    /* the context holds max_context tokens */
  LFM_NPU_TOKEN = 4,   /* an id outside the vocabulary, or no tokens */
  LFM_NPU_MEMORY = 5,  /* no memory, or not aligned to LFM_NPU_ALIGNMENT */
  LFM_NPU_FILE = 6,    /* the weights file cannot be read */
  LFM_NPU_VTCM = 7,    /* VTCM that holds no decode step's scratch, or is not
                          aligned to LFM_NPU_ALIGNMENT */
  LFM_NPU_THREADS = 8, /* not 1 to LFM_NPU_MAX_THREADS threads, or more than
                          the NPU has vector contexts */
  LFM_NPU_START = 9    /* the system does not start the threads */
} lfm_npu_status;

/* What `status` means, lower case, without a full stop. */
LFM_API const char *lfm_npu_message(lfm_npu_status status);

/* Of the weights and of a session's memory, in bytes. */
#define LFM_NPU_ALIGNMENT 128

/* Most threads of a team: no NPU has more vector contexts than 8. */
#define LFM_NPU_MAX_THREADS 16

/* Stack of each thread that runs a program. The package keeps what it has there
 * below half of it. */
#define LFM_NPU_STACK_BYTES (1 << 20)

/* How the threads of a team sleep, by the system that they run on. */
typedef struct lfm_npu_system {
  /* Sleeps while *word is `value`; may return before it changes. */
  void (*wait)(uint32_t *word, uint32_t value);
  /* Wakes all that sleep on `word`. */
  void (*wake)(uint32_t *word);
  /* How often a thread looks at a word, 255 cycles apart, before it sleeps. */
  uint32_t looks;
} lfm_npu_system;

/* A number that threads wait for, far enough from the next. */
typedef struct lfm_npu_word {
  uint32_t value;
  uint8_t line[124];
} lfm_npu_word;

typedef struct lfm_npu_team {
  const lfm_npu_system *system;
  lfm_entry entry; /* of the step that runs */
  lfm_args args;
  int32_t dismissed;
  lfm_npu_word start, arrived, phase;
} lfm_npu_team;

typedef struct lfm_npu {
  struct lfm_sync sync; /* first: the barrier gets its address */
  lfm_ticket tickets[2][LFM_NPU_MAX_THREADS];
  lfm_npu_team team; /* of several threads */
  const lfm_program *program;
  const uint8_t *weights;
  uint8_t *state, *arena;
  uint8_t *decode_arena, *prefill_arena; /* each `arena` or the VTCM */
  float *hidden;                         /* rows of a prefill step */
  float *last_rows;                      /* of a prompt_end step */
  int32_t pos;                           /* tokens so far */
} lfm_npu;

/* Whether `header`, the first bytes of a weights file, is of this program. */
LFM_API lfm_npu_status lfm_npu_check(const lfm_program *program,
                                     const lfm_weights_header *header);

/* Bytes that a session takes beside the weights. */
LFM_API uint64_t lfm_npu_session_bytes(const lfm_program *program);

/* Starts an empty sequence. `weights` are the whole file, `memory` are
 * lfm_npu_session_bytes; both outlive the session. */
LFM_API lfm_npu_status lfm_npu_open(lfm_npu *npu, const lfm_program *program,
                                    const uint8_t *weights, void *memory);

/* Lets steps keep their scratch in `vtcm`, `bytes` of memory beside the vector
 * units, until the next call: all steps where `bytes` are at least the
 * program's arena_bytes, else only decode's (decode_arena_bytes). Null: in the
 * session's memory again, where it also is after lfm_npu_open. Scratch lives no
 * longer than lfm_npu_read, so that VTCM can be had and given back around each.
 * Fails with LFM_NPU_VTCM and changes nothing. */
LFM_API lfm_npu_status lfm_npu_use_vtcm(lfm_npu *npu, void *vtcm,
                                        uint64_t bytes);

/* Has steps run on `threads` threads: the one that calls lfm_npu_read, which is
 * number 0, and threads - 1 of the caller's, with LFM_NPU_STACK_BYTES of stack
 * each, that enter lfm_npu_work. Logits do not depend on the number. `system`
 * outlives the team and may be null for one thread. Not while lfm_npu_read runs
 * or threads of an earlier team work. Fails with LFM_NPU_THREADS and changes
 * nothing. */
LFM_API lfm_npu_status lfm_npu_set_threads(lfm_npu *npu, int32_t threads,
                                           const lfm_npu_system *system);

/* What thread number `thread` of a team does, 1 to threads - 1, until
 * lfm_npu_dismiss. lfm_npu_read waits for those that are not there yet. */
LFM_API void lfm_npu_work(lfm_npu *npu, int32_t thread);

/* Lets the team's threads return from lfm_npu_work; steps run on one thread
 * from then on. Not while lfm_npu_read runs. */
LFM_API void lfm_npu_dismiss(lfm_npu *npu);

/* Forgets all tokens. */
LFM_API void lfm_npu_reset(lfm_npu *npu);

/* Reads `count` tokens: one by decode, more by prefill. On return `logits`, if
 * not null, are those after the last, or with `all` after each of them
 * ([count][vocab_size]). Fails before it has read any. */
LFM_API lfm_npu_status lfm_npu_read(lfm_npu *npu, const int32_t *ids,
                                    int32_t count, float *logits, int32_t all);

/* The most likely token; the first of equals. */
LFM_API int32_t lfm_npu_greedy(const lfm_npu *npu, const float *logits);

#ifdef __cplusplus
}
#endif
#endif /* LFM_NPU_H */
