/* SPDX-License-Identifier: Apache-2.0 */
#include "Team.h"

#include <stddef.h>

const char *lfm_npu_message(lfm_npu_status status) {
  switch (status) {
  case LFM_NPU_OK:
    return "no error";
  case LFM_NPU_ABI:
    return "the program was compiled for another runtime";
  case LFM_NPU_WEIGHTS:
    return "no weights file of this model and target";
  case LFM_NPU_FULL:
    return "more tokens than the context holds";
  case LFM_NPU_TOKEN:
    return "expected tokens of the vocabulary";
  case LFM_NPU_MEMORY:
    return "out of memory";
  case LFM_NPU_FILE:
    return "cannot read the weights file";
  case LFM_NPU_VTCM:
    return "the VTCM is not aligned or smaller than a decode step's scratch";
  case LFM_NPU_THREADS:
    return "expected 1 to 16 threads, no more than vector contexts";
  case LFM_NPU_START:
    return "the system does not start the threads";
  }
  return "unknown status";
}

static uint64_t aligned(uint64_t bytes) {
  return (bytes + LFM_NPU_ALIGNMENT - 1) / LFM_NPU_ALIGNMENT *
         LFM_NPU_ALIGNMENT;
}

lfm_npu_status lfm_npu_check(const lfm_program *program,
                             const lfm_weights_header *header) {
  if (program->abi != LFM_PROGRAM_ABI || program->bytes != sizeof *program)
    return LFM_NPU_ABI;
  for (size_t i = 0; i < sizeof header->magic; ++i)
    if (header->magic[i] != LFM_WEIGHTS_MAGIC[i])
      return LFM_NPU_WEIGHTS;
  for (size_t i = 0; i < sizeof header->id; ++i)
    if (header->id[i] != program->weights_id[i])
      return LFM_NPU_WEIGHTS;
  return header->file_bytes == program->weights_bytes ? LFM_NPU_OK
                                                      : LFM_NPU_WEIGHTS;
}

static uint64_t rowBytes(const lfm_program *program, int32_t rows) {
  return aligned((uint64_t)rows * (uint32_t)program->hidden_size * 4);
}

uint64_t lfm_npu_session_bytes(const lfm_program *program) {
  return aligned(program->state_bytes) + aligned(program->arena_bytes) +
         rowBytes(program, program->max_prefill) +
         rowBytes(program, program->prompt_rows);
}

lfm_npu_status lfm_npu_open(lfm_npu *npu, const lfm_program *program,
                            const uint8_t *weights, void *memory) {
  lfm_npu_status bad =
      lfm_npu_check(program, (const lfm_weights_header *)weights);
  if (bad)
    return bad;
  if (((uintptr_t)weights | (uintptr_t)memory) % LFM_NPU_ALIGNMENT)
    return LFM_NPU_MEMORY;
  npu->program = program;
  npu->weights = weights;
  npu->state = memory;
  npu->arena = npu->state + aligned(program->state_bytes);
  npu->decode_arena = npu->prefill_arena = npu->arena;
  uint8_t *hidden = npu->arena + aligned(program->arena_bytes);
  npu->hidden = (float *)hidden;
  npu->last_rows = (float *)(hidden + rowBytes(program, program->max_prefill));
  npu->sync.chosen = 0;
  lfm_npu_set_threads(npu, 1, NULL);
  lfm_npu_reset(npu);
  return LFM_NPU_OK;
}

lfm_npu_status lfm_npu_use_vtcm(lfm_npu *npu, void *vtcm, uint64_t bytes) {
  if (vtcm && ((uintptr_t)vtcm % LFM_NPU_ALIGNMENT ||
               bytes < npu->program->decode_arena_bytes))
    return LFM_NPU_VTCM;
  npu->decode_arena = vtcm ? vtcm : npu->arena;
  npu->prefill_arena =
      vtcm && bytes >= npu->program->arena_bytes ? vtcm : npu->arena;
  return LFM_NPU_OK;
}

void lfm_npu_reset(lfm_npu *npu) {
  uint64_t *words = (uint64_t *)npu->state;
  for (uint64_t i = 0; i < aligned(npu->program->state_bytes) / 8; ++i)
    words[i] = 0;
  npu->pos = 0;
}

/* The first of the n rows is `skipped` positions from here. */
static void step(lfm_npu *npu, lfm_entry entry, const void *input,
                 float *output, int32_t n, int32_t skipped) {
  uint8_t *arena =
      entry == npu->program->decode ? npu->decode_arena : npu->prefill_arena;
  lfm_args args = {npu->weights, npu->state,        arena, input, output, n,
                   npu->pos + skipped};
  lfm_npu_run(npu, entry, &args);
}

/* Reads n tokens; returns the last one's row, normed. */
static const float *prompt(lfm_npu *npu, const int32_t *ids, int32_t n) {
  const lfm_program *p = npu->program;
  const int32_t rows = p->prompt_rows, width = p->hidden_size;
  if (!p->prompt || n <= rows) {
    step(npu, p->prefill, ids, npu->hidden, n, 0);
    return npu->hidden + (int64_t)(n - 1) * width;
  }
  step(npu, p->prompt, ids, npu->hidden, n, 0);
  step(npu, p->prompt_end, npu->hidden + (int64_t)(n - rows) * width,
       npu->last_rows, rows, n - rows);
  return npu->last_rows + (int64_t)(rows - 1) * width;
}

lfm_npu_status lfm_npu_read(lfm_npu *npu, const int32_t *ids, int32_t count,
                            float *logits, int32_t all) {
  const lfm_program *p = npu->program;
  if (count <= 0)
    return LFM_NPU_TOKEN;
  if (count > p->max_context - npu->pos)
    return LFM_NPU_FULL;
  for (int32_t i = 0; i < count; ++i)
    if (ids[i] < 0 || ids[i] >= p->vocab_size)
      return LFM_NPU_TOKEN;
  if (count == 1 && logits) {
    step(npu, p->decode, ids, logits, 1, 0);
    ++npu->pos;
    return LFM_NPU_OK;
  }
  for (int32_t done = 0, n; done < count; done += n) {
    n = count - done < p->max_prefill ? count - done : p->max_prefill;
    if (logits && all) {
      step(npu, p->prefill, ids + done, npu->hidden, n, 0);
      step(npu, p->head, npu->hidden, logits + (int64_t)done * p->vocab_size, n,
           0);
    } else {
      const float *last = prompt(npu, ids + done, n);
      if (logits && done + n == count)
        step(npu, p->head, last, logits, 1, 0);
    }
    npu->pos += n;
  }
  return LFM_NPU_OK;
}

int32_t lfm_npu_greedy(const lfm_npu *npu, const float *logits) {
  int32_t best = 0;
  for (int32_t i = 1; i < npu->program->vocab_size; ++i)
    if (logits[i] > logits[best])
      best = i;
  return best;
}
