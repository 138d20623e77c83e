/* SPDX-License-Identifier: Apache-2.0 */
#include "Linux.h"
#include "Runner.h"

/* The emulator's threads share the machine's processors: few looks. */
static const lfm_npu_system linux = {lfm_linux_wait, lfm_linux_wake, 16};

static struct worker {
  lfm_npu *npu;
  int32_t number;
  lfm_linux_thread thread;
} workers[LFM_NPU_MAX_THREADS];
static int32_t started = 1; /* with the first */

static void work(void *argument) {
  const struct worker *worker = argument;
  lfm_npu_work(worker->npu, worker->number);
}

lfm_npu_status lfm_runner_start_threads(lfm_npu *npu, int32_t threads) {
  lfm_npu_status bad = lfm_npu_set_threads(npu, threads, &linux);
  if (bad)
    return bad;
  for (; started < threads; ++started) {
    struct worker *worker = &workers[started];
    worker->npu = npu;
    worker->number = started;
    if (lfm_linux_start(&worker->thread, work, worker, LFM_NPU_STACK_BYTES)) {
      lfm_runner_join_threads(npu);
      return LFM_NPU_START;
    }
  }
  return LFM_NPU_OK;
}

uint64_t lfm_runner_join_threads(lfm_npu *npu) {
  uint64_t most = 0;
  lfm_npu_dismiss(npu);
  while (started > 1) {
    uint64_t used = lfm_linux_join(&workers[--started].thread);
    most = used > most ? used : most;
  }
  return most;
}
