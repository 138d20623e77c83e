/* SPDX-License-Identifier: Apache-2.0
 *
 * A session on the NPU, for code that runs there: a compiled program with its
 * weights, one sequence, one thread. Allocates nothing and calls nothing. Ids,
 * counts and memory are the caller's; logits are f32[vocab_size].
 */
#ifndef LFM_NPU_H
#define LFM_NPU_H

#include "lfm/program.h"

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
  LFM_NPU_VTCM = 7     /* VTCM that holds no decode step's scratch, or is not
                          aligned to LFM_NPU_ALIGNMENT */
} lfm_npu_status;

/* What `status` means, lower case, without a full stop. */
const char *lfm_npu_message(lfm_npu_status status);

/* Of the weights and of a session's memory, in bytes. */
#define LFM_NPU_ALIGNMENT 128

typedef struct lfm_npu {
  struct lfm_sync sync; /* first: the barrier gets its address */
  lfm_ticket tickets[2];
  const lfm_program *program;
  const uint8_t *weights;
  uint8_t *state, *arena;
  uint8_t *decode_arena, *prefill_arena; /* each `arena` or the VTCM */
  float *hidden;                         /* rows of a prefill step */
  float *last_rows;                      /* of a prompt_end step */
  int32_t pos;                           /* tokens so far */
} lfm_npu;

/* Whether `header`, the first bytes of a weights file, is of this program. */
lfm_npu_status lfm_npu_check(const lfm_program *program,
                             const lfm_weights_header *header);

/* Bytes that a session takes beside the weights. */
uint64_t lfm_npu_session_bytes(const lfm_program *program);

/* Starts an empty sequence. `weights` are the whole file, `memory` are
 * lfm_npu_session_bytes; both outlive the session. */
lfm_npu_status lfm_npu_open(lfm_npu *npu, const lfm_program *program,
                            const uint8_t *weights, void *memory);

/* Lets steps keep their scratch in `vtcm`, `bytes` of memory beside the vector
 * units, until the next call: all steps where `bytes` are at least the
 * program's arena_bytes, else only decode's (decode_arena_bytes). Null: in the
 * session's memory again, where it also is after lfm_npu_open. Scratch lives no
 * longer than lfm_npu_read, so that VTCM can be had and given back around each.
 * Fails with LFM_NPU_VTCM and changes nothing. */
lfm_npu_status lfm_npu_use_vtcm(lfm_npu *npu, void *vtcm, uint64_t bytes);

/* Forgets all tokens. */
void lfm_npu_reset(lfm_npu *npu);

/* Reads `count` tokens: one by decode, more by prefill. On return `logits`, if
 * not null, are those after the last, or with `all` after each of them
 * ([count][vocab_size]). Fails before it has read any. */
lfm_npu_status lfm_npu_read(lfm_npu *npu, const int32_t *ids, int32_t count,
                            float *logits, int32_t all);

/* The most likely token; the first of equals. */
int32_t lfm_npu_greedy(const lfm_npu *npu, const float *logits);

#ifdef __cplusplus
}
#endif
#endif /* LFM_NPU_H */
