/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of a session. Words that they wait for count in twos; bit 0 says
 * that somebody sleeps, so that one atomic exchange both publishes a number and
 * tells whether to wake.
 */
#include "Team.h"

#include <stddef.h>

static void relax(void) {
#if defined(__hexagon__)
  __asm__ volatile("pause(#255)");
#elif defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* LLVM writes Hexagon's atomics without barriers, whatever their order. */
static void fence(void) {
#if defined(__hexagon__)
  __asm__ volatile("barrier" ::: "memory");
#endif
}

static void publish(const lfm_npu_system *system, lfm_npu_word *word,
                    uint32_t next) {
  if (__atomic_exchange_n(&word->value, next, __ATOMIC_ACQ_REL) & 1)
    system->wake(&word->value);
}

/* Returns when the number is not `old`. */
static void await(const lfm_npu_system *system, lfm_npu_word *word,
                  uint32_t old) {
  uint32_t found;
  for (uint32_t i = 0; i < system->looks; ++i) {
    if ((__atomic_load_n(&word->value, __ATOMIC_ACQUIRE) & ~1u) != old)
      return;
    relax();
  }
  do {
    found = old;
    if (__atomic_compare_exchange_n(&word->value, &found, old | 1, 0,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
        found == (old | 1))
      system->wait(&word->value, old | 1);
  } while ((found & ~1u) == old);
}

/* A team of one waits for nobody. */
static void leavePhase(lfm_sync *sync, int32_t parity) {
  sync->tickets[parity][0].next = 0;
}

static void meet(lfm_sync *sync, int32_t parity) {
  lfm_npu *npu = (lfm_npu *)sync;
  lfm_npu_team *team = &npu->team;
  const uint32_t threads = (uint32_t)sync->threads;
  /* Cannot change before this thread has arrived. */
  const uint32_t phase =
      __atomic_load_n(&team->phase.value, __ATOMIC_ACQUIRE) & ~1u;
  fence();
  if (__atomic_add_fetch(&team->arrived.value, 1, __ATOMIC_ACQ_REL) ==
      threads) {
    for (uint32_t t = 0; t < threads; ++t)
      __atomic_store_n(&npu->tickets[parity][t].next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&team->arrived.value, 0, __ATOMIC_RELAXED);
    fence();
    publish(team->system, &team->phase, phase + 2);
  } else {
    await(team->system, &team->phase, phase);
  }
  fence();
}

lfm_npu_status lfm_npu_set_threads(lfm_npu *npu, int32_t threads,
                                   const lfm_npu_system *system) {
  if (threads < 1 || threads > LFM_NPU_MAX_THREADS || (threads > 1 && !system))
    return LFM_NPU_THREADS;
  lfm_npu_team *team = &npu->team;
  team->system = system;
  team->dismissed = 0;
  team->start.value = team->arrived.value = team->phase.value = 0;
  for (int32_t t = 0; t < LFM_NPU_MAX_THREADS; ++t)
    npu->tickets[0][t].next = npu->tickets[1][t].next = 0;
  npu->sync.tickets[0] = npu->tickets[0];
  npu->sync.tickets[1] = npu->tickets[1];
  npu->sync.threads = threads;
  npu->sync.barrier = threads > 1 ? meet : leavePhase;
  fence();
  return LFM_NPU_OK;
}

/* Its own arguments are read before a thread meets the others, so that those of
 * the next step may be written when thread 0 has left the step. */
static void startStep(lfm_npu_team *team) {
  const uint32_t step =
      __atomic_load_n(&team->start.value, __ATOMIC_RELAXED) & ~1u;
  fence();
  publish(team->system, &team->start, step + 2);
}

void lfm_npu_run(lfm_npu *npu, lfm_entry entry, const lfm_args *args) {
  if (npu->sync.threads > 1) {
    npu->team.entry = entry;
    npu->team.args = *args;
    startStep(&npu->team);
  }
  entry(args, &npu->sync, 0);
}

void lfm_npu_work(lfm_npu *npu, int32_t thread) {
  lfm_npu_team *team = &npu->team;
  for (uint32_t step = 0;; step += 2) {
    await(team->system, &team->start, step);
    fence();
    if (team->dismissed)
      return;
    team->entry(&team->args, &npu->sync, thread);
  }
}

void lfm_npu_dismiss(lfm_npu *npu) {
  if (npu->sync.threads <= 1)
    return;
  npu->team.dismissed = 1;
  npu->sync.threads = 1;
  npu->sync.barrier = leavePhase;
  startStep(&npu->team);
}
