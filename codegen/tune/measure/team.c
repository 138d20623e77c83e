/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { MOST_THREADS = 256, SPINS = 20000 };

static struct { _Alignas(64) atomic_llong next; } ticket[MOST_THREADS];

static int threads = 1;
static _Alignas(64) atomic_uint generation;
static _Alignas(64) atomic_int busy;
static atomic_llong spent;
static uint64_t chunkCount;
static void (*work)(int64_t);

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int64_t processorTime(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void runShare(int self) {
  const int64_t start = processorTime();
  for (int v = 0; v < threads; ++v) {
    const uint64_t owner = (uint64_t)(self + v) % threads;
    const int64_t begin = (int64_t)(chunkCount * owner / threads);
    const int64_t end = (int64_t)(chunkCount * (owner + 1) / threads);
    for (;;) {
      const int64_t c =
          begin + atomic_fetch_add_explicit(&ticket[owner].next, 1,
                                            memory_order_relaxed);
      if (c >= end)
        break;
      work(c);
    }
  }
  atomic_fetch_add(&spent, processorTime() - start);
}

static void *worker(void *argument) {
  const int self = (int)(intptr_t)argument;
  unsigned seen = 0;
  for (;;) {
    for (int i = 0; atomic_load(&generation) == seen; ++i)
      if (i < SPINS)
        relax();
      else
        sched_yield();
    ++seen;
    runShare(self);
    atomic_fetch_sub(&busy, 1);
  }
  return 0;
}

int lfm_team_threads(void) { return threads; }

int lfm_team_start(int count) {
  cpu_set_t set;
  int processors = 1;
  if (!sched_getaffinity(0, sizeof set, &set))
    processors = CPU_COUNT(&set);
  if (count <= 0)
    count = processors;
  threads = count < MOST_THREADS ? count : MOST_THREADS;
  for (int i = 1; i < threads; ++i) {
    pthread_t handle;
    if (pthread_create(&handle, 0, worker, (void *)(intptr_t)i))
      return -1;
    pthread_detach(handle);
  }
  return 0;
}

int64_t lfm_team_run(uint64_t chunks, void (*chunk)(int64_t)) {
  chunkCount = chunks;
  work = chunk;
  for (int i = 0; i < threads; ++i)
    atomic_store(&ticket[i].next, 0);
  atomic_store(&spent, 0);
  atomic_store(&busy, threads);
  atomic_fetch_add(&generation, 1);
  runShare(0);
  atomic_fetch_sub(&busy, 1);
  for (int i = 0; atomic_load(&busy); ++i)
    if (i < SPINS)
      relax();
    else
      sched_yield();
  return atomic_load(&spent) / threads;
}
