// SPDX-License-Identifier: Apache-2.0
#include "Team.h"

#include "Cpu.h"

#include <cstring>
#include <signal.h>
#if defined(__linux__) && !defined(LFM_NO_FUTEX)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#define LFM_FUTEX 1
#endif

namespace lfm_rt {

static inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

//===----------------------------------------------------------------------===//
// Event
//===----------------------------------------------------------------------===//

// A sleeper first counts itself and then looks at the value; a publisher first
// stores the value and then looks at the count. Both orders are sequentially
// consistent, so one of the two sees the other.
void Event::publish(uint32_t next) {
  value.store(next, std::memory_order_seq_cst);
  if (sleepers.load(std::memory_order_seq_cst) == 0)
    return;
#ifdef LFM_FUTEX
  syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr,
          0);
#else
  pthread_mutex_lock(&mutex);
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
#endif
}

void Event::waitWhile(uint32_t old, uint32_t spins) {
  for (uint32_t i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old)
      return;
    relax();
  }
  sleepWhile(old);
}

void Event::sleepWhile(uint32_t old) {
  sleepers.fetch_add(1, std::memory_order_seq_cst);
#ifdef LFM_FUTEX
  while (value.load(std::memory_order_seq_cst) == old)
    syscall(SYS_futex, &value, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
#else
  pthread_mutex_lock(&mutex);
  while (value.load(std::memory_order_seq_cst) == old)
    pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
#endif
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

void Event::open() {
#ifndef LFM_FUTEX
  pthread_mutex_init(&mutex, nullptr);
  pthread_cond_init(&condition, nullptr);
#endif
}

void Event::close() {
#ifndef LFM_FUTEX
  pthread_cond_destroy(&condition);
  pthread_mutex_destroy(&mutex);
#endif
}

//===----------------------------------------------------------------------===//
// Team
//===----------------------------------------------------------------------===//

// How many looks at an Event take `microseconds`. Measured here so that no
// clock is read inside a step; the best of several tries, as the thread may
// lose its processor in between.
static uint32_t calibrateSpins(int microseconds) {
  constexpr int kLooks = 500;
  double best = 1;
  for (int round = 0; round < 5; ++round) {
    double begin = now();
    for (int i = 0; i < kLooks; ++i)
      relax();
    double elapsed = now() - begin;
    if (elapsed < best)
      best = elapsed;
  }
  double looks = microseconds * 1e-6 * kLooks / (best > 1e-9 ? best : 1e-9);
  return looks < 1e6 ? static_cast<uint32_t>(looks) : 1000000u;
}

void Team::open() {
  start.open();
  phase.open();
  done.open();
  barrier = arrive;
  tickets[0] = ticketLines[0];
  tickets[1] = ticketLines[1];
  threads = 1;
}

void Team::close() {
  stop();
  start.close();
  phase.close();
  done.close();
}

void Team::stop() {
  if (threads > 1) {
    quitting = true;
    start.publish(start.load() + 1);
    for (int i = 1; i < threads; ++i)
      pthread_join(workers[i].handle, nullptr);
    done.publish(start.load());
  }
  quitting = false;
  threads = 1;
}

lfm_status Team::resize(int newCount, int spinMicroseconds,
                        const Message &message) {
  stop();
  // More threads than processors: whoever spins keeps another from running.
  const int chosen = processors.count();
  if (newCount > (chosen ? chosen : allowedCpus()) && spinMicroseconds > 1)
    spinMicroseconds = 1;
  spins = newCount > 1 && spinMicroseconds > 0
              ? calibrateSpins(spinMicroseconds)
              : 0;

  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error)
    return message.fail(LFM_ERROR_THREADS, "cannot start threads: %s",
                        strerror(error));
  pthread_attr_setstacksize(&attributes, 2u << 20);
  // The application's signals are for the application's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int started = 1;
  for (; started < newCount && !error; ++started) {
    workers[started].team = this;
    workers[started].index = started;
    workers[started].step = start.load();
    error = pthread_create(&workers[started].handle, &attributes, work,
                           &workers[started]);
    if (error)
      break;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  threads = started;
  if (!error)
    return LFM_OK;
  stop();
  return message.fail(LFM_ERROR_THREADS, "cannot start thread %d of %d: %s",
                      started + 1, newCount, strerror(error));
}

void *Team::work(void *argument) {
  const Worker &worker = *static_cast<Worker *>(argument);
  Team &team = *worker.team;
  uint32_t step = worker.step;
  // Where the system has taken the processors away meanwhile, its choice holds.
  if (team.processors.count())
    bindThread(team.processors);
  for (;;) {
    team.start.waitWhile(step, team.spins);
    if (team.quitting)
      return nullptr;
    ++step;
    team.entry(team.args, &team, worker.index);
    if (team.running.fetch_sub(1, std::memory_order_acq_rel) == 1)
      team.done.publish(step);
  }
}

void Team::run(lfm_entry newEntry, const lfm_args &newArgs) {
  if (threads == 1) {
    newEntry(&newArgs, this, 0);
    return;
  }
  entry = newEntry;
  args = &newArgs;
  running.store(static_cast<uint32_t>(threads - 1), std::memory_order_relaxed);
  uint32_t step = start.load();
  start.publish(step + 1);
  newEntry(&newArgs, this, 0);
  done.waitWhile(step, spins);
}

void Team::arrive(lfm_sync *sync, int32_t parity) {
  Team &team = *static_cast<Team *>(sync);
  lfm_ticket *tickets = team.tickets[parity];
  if (team.threads == 1) {
    tickets[0].next = 0;
    return;
  }
  uint32_t now = team.phase.load();
  if (team.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 ==
      static_cast<uint32_t>(team.threads)) {
    for (int32_t t = 0; t < team.threads; ++t)
      __atomic_store_n(&tickets[t].next, int64_t{0}, __ATOMIC_RELAXED);
    team.arrived.store(0, std::memory_order_relaxed);
    team.phase.publish(now + 1);
    return;
  }
  team.phase.waitWhile(now, team.spins);
}

} // namespace lfm_rt
