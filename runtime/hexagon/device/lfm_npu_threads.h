/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of a session on QuRT, the system of the DSP. Included by the
 * skeleton alone.
 */
#ifndef LFM_NPU_THREADS_H
#define LFM_NPU_THREADS_H

#include "lfm/npu.h"

#include <malloc.h>
#include <qurt.h>
#include <qurt_hvx.h>
#include <stdlib.h>

typedef struct {
  lfm_npu *npu;
  uint32_t *answers; /* workers that have locked HVX, or could not */
  int32_t number;
  int locked;
  qurt_thread_t thread;
} lfm_qurt_worker;

typedef struct {
  lfm_qurt_worker workers[LFM_NPU_MAX_THREADS];
  uint32_t answers;
  int32_t started; /* beside the first */
  void *stacks;
} lfm_qurt_team;

static void lfm_qurt_sleep(uint32_t *word, uint32_t value) {
  qurt_futex_wait(word, (int)value);
}
static void lfm_qurt_wake(uint32_t *word) {
  qurt_futex_wake(word, LFM_NPU_MAX_THREADS);
}

/* Looks: some 0.2 ms, then threads sleep, as they do between two tokens. */
static const lfm_npu_system lfm_qurt_system = {lfm_qurt_sleep, lfm_qurt_wake,
                                               1000};

/* As many as there are vector contexts (128 bytes: bits 8 to 15), if as many
 * hardware threads are there; an unsigned process may not see the latter. */
static int32_t lfm_qurt_contexts(void) {
  const int units = qurt_hvx_get_units();
  int32_t contexts = units > 0 ? units >> 8 & 0xff : 0;
  qurt_sysenv_max_hthreads_t hardware;
  if (qurt_sysenv_get_max_hw_threads(&hardware) == QURT_EOK &&
      hardware.max_hthreads > 0 && (int32_t)hardware.max_hthreads < contexts)
    contexts = (int32_t)hardware.max_hthreads;
  return contexts < 1                     ? 1
         : contexts > LFM_NPU_MAX_THREADS ? LFM_NPU_MAX_THREADS
                                          : contexts;
}

/* Keeps HVX for its life: QuRT switches vector contexts among threads (v65 and
 * later), so that a sleeping one keeps nobody out. */
static void lfm_qurt_main(void *argument) {
  lfm_qurt_worker *worker = (lfm_qurt_worker *)argument;
  worker->locked = qurt_hvx_lock(QURT_HVX_MODE_128B) == QURT_EOK;
  const int locked = worker->locked;
  __atomic_add_fetch(worker->answers, 1, __ATOMIC_ACQ_REL);
  lfm_qurt_wake(worker->answers);
  if (locked) {
    lfm_npu_work(worker->npu, worker->number);
    qurt_hvx_unlock();
  }
  qurt_thread_exit(QURT_EOK);
}

static void lfm_qurt_stop(lfm_qurt_team *team, lfm_npu *npu) {
  int status;
  lfm_npu_dismiss(npu);
  for (; team->started; --team->started)
    qurt_thread_join(team->workers[team->started].thread, &status);
  free(team->stacks);
  team->stacks = NULL;
}

static int lfm_qurt_start_worker(lfm_qurt_team *team, lfm_npu *npu) {
  lfm_qurt_worker *worker = &team->workers[team->started + 1];
  qurt_thread_attr_t attributes;
  worker->npu = npu;
  worker->answers = &team->answers;
  worker->number = team->started + 1;
  qurt_thread_attr_init(&attributes);
  qurt_thread_attr_set_name(&attributes, "lfm_npu");
  qurt_thread_attr_set_stack_addr(
      &attributes, (char *)team->stacks + team->started * LFM_NPU_STACK_BYTES);
  qurt_thread_attr_set_stack_size(&attributes, LFM_NPU_STACK_BYTES);
  qurt_thread_attr_set_priority(
      &attributes,
      (unsigned short)qurt_thread_get_priority(qurt_thread_get_id()));
  return qurt_thread_create(&worker->thread, &attributes, lfm_qurt_main,
                            worker);
}

/* A team of `count` threads, 0: lfm_qurt_contexts. On failure none is left. */
static lfm_npu_status lfm_qurt_start(lfm_qurt_team *team, lfm_npu *npu,
                                     int32_t count) {
  const int32_t contexts = lfm_qurt_contexts();
  if (count == 0)
    count = contexts;
  if (count > contexts)
    return LFM_NPU_THREADS;
  lfm_npu_status bad = lfm_npu_set_threads(npu, count, &lfm_qurt_system);
  if (bad || count == 1)
    return bad;
  team->answers = 0;
  team->stacks = memalign(4096, (size_t)(count - 1) * LFM_NPU_STACK_BYTES);
  if (!team->stacks)
    bad = LFM_NPU_MEMORY;
  for (; !bad && team->started < count - 1; ++team->started)
    if (lfm_qurt_start_worker(team, npu) != QURT_EOK) {
      bad = LFM_NPU_START;
      break;
    }
  uint32_t answers;
  while ((answers = __atomic_load_n(&team->answers, __ATOMIC_ACQUIRE)) !=
         (uint32_t)team->started)
    lfm_qurt_sleep(&team->answers, answers);
  for (int32_t i = 1; i <= team->started; ++i)
    if (!team->workers[i].locked)
      bad = LFM_NPU_START;
  if (bad)
    lfm_qurt_stop(team, npu);
  return bad;
}

#endif /* LFM_NPU_THREADS_H */
