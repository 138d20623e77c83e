// SPDX-License-Identifier: Apache-2.0
//
// The threads of a session. run() lets all of them enter the program once
// (SPMD, see lfm/program.h); between steps and at barriers they spin for a
// bounded time and then sleep.
#ifndef LFM_SRC_TEAM_H
#define LFM_SRC_TEAM_H

#include "Cores.h"
#include "Support.h"

#include "lfm/lfm.h"
#include "lfm/program.h"

#include <atomic>
#include <pthread.h>

namespace lfm_rt {

/// A number that threads wait for. One writer at a time.
class Event {
public:
  uint32_t load() const { return value.load(std::memory_order_acquire); }

  /// Stores `next` and wakes who sleeps.
  void publish(uint32_t next);

  /// Returns when the number is not `old`: looks `spins` times, then sleeps.
  void waitWhile(uint32_t old, uint32_t spins);

  void open();
  void close();

private:
  void sleepWhile(uint32_t old);

  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};
#if !defined(__linux__) || defined(LFM_NO_FUTEX)
  pthread_mutex_t mutex;
  pthread_cond_t condition;
#endif
};

constexpr int kMaxThreads = 256;

/// Lives in zeroed memory of the session; open() before use, close() at the
/// end. Used by one thread, which is thread 0 of the team.
class Team : public lfm_sync {
public:
  /// One thread, no workers.
  void open();
  void close();

  /// Replaces the workers by count - 1 new ones that spin for about
  /// `spinMicroseconds` before they sleep. On failure the team has one thread.
  lfm_status resize(int count, int spinMicroseconds, const Message &message);

  /// Enters `entry` once on every thread; returns when all have left it.
  void run(lfm_entry entry, const lfm_args &args);

  int size() const { return threads; }

  Processors processors; ///< of workers that resize() starts

  lfm_session *owner; ///< for lfm_sync.chosen

private:
  struct Worker {
    Team *team;
    int32_t index;
    uint32_t step; // number of the last step before the worker was there
    pthread_t handle;
  };

  static void arrive(lfm_sync *sync, int32_t parity);
  static void *work(void *worker);
  void stop();

  // What workers read when a step starts.
  alignas(64) Event start;
  lfm_entry entry;
  const lfm_args *args;
  uint32_t spins;
  bool quitting;
  // The barrier: who arrives writes one line, who waits reads another.
  alignas(64) std::atomic<uint32_t> arrived;
  alignas(64) Event phase;
  // The end of a step.
  alignas(64) std::atomic<uint32_t> running;
  alignas(64) Event done;
  alignas(64) lfm_ticket ticketLines[2][kMaxThreads];
  alignas(64) Worker workers[kMaxThreads];
};

} // namespace lfm_rt

#endif // LFM_SRC_TEAM_H
