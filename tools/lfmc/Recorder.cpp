// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Recorder.h"

#include <atomic>
#include <cassert>
#include <chrono>

namespace lfmc::cli {
double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

namespace {

constexpr int maxThreads = 256;

// Written by its thread only.
struct alignas(64) Log {
  std::vector<PhaseRecord> records;
  PhaseRecord::Entry entry;
  int32_t phase;
  double begin;
};

using Barrier = void (*)(lfm_sync *, int32_t);

// Entries and barriers get no pointer of ours: what they need is here.
Log logs[maxThreads];
thread_local Log *current;
lfm_entry originals[5];
std::atomic<Barrier> original;
std::atomic<bool> taken;

void barrier(lfm_sync *sync, int32_t parity) {
  Log &log = *current;
  double arrive = now();
  original.load(std::memory_order_relaxed)(sync, parity);
  double leave = now();
  log.records.push_back({log.entry, log.phase++, log.begin, arrive, leave});
  log.begin = leave;
}

template <PhaseRecord::Entry entry>
void enter(const lfm_args *args, lfm_sync *sync, int32_t thread) {
  // All threads of a team find and leave the same here.
  std::atomic_ref<Barrier> place(sync->barrier);
  Barrier before = place.load(std::memory_order_acquire);
  if (before != barrier) {
    original.store(before, std::memory_order_relaxed);
    place.store(barrier, std::memory_order_release);
  }
  Log &log = logs[thread];
  if (log.records.capacity() - log.records.size() < 4096)
    log.records.reserve(2 * log.records.capacity() + 8192);
  current = &log;
  log.entry = entry;
  log.phase = 0;
  log.begin = now();
  originals[entry](args, sync, thread);
}

template <PhaseRecord::Entry entry>
void wrap(lfm_entry &place) {
  originals[entry] = place;
  if (place)
    place = enter<entry>;
}

} // namespace

const char *entryName(PhaseRecord::Entry entry) {
  static const char *const names[] = {"decode", "prefill", "prompt",
                                      "prompt_end", "head"};
  return names[entry];
}

Recorder::Recorder(const lfm_program &program) : wrapped(program) {
  [[maybe_unused]] bool other = taken.exchange(true);
  assert(!other && "one recorder at a time");
  wrap<PhaseRecord::Decode>(wrapped.decode);
  wrap<PhaseRecord::Prefill>(wrapped.prefill);
  wrap<PhaseRecord::Prompt>(wrapped.prompt);
  wrap<PhaseRecord::PromptEnd>(wrapped.prompt_end);
  wrap<PhaseRecord::Head>(wrapped.head);
  clear();
}

Recorder::~Recorder() {
  clear();
  taken = false;
}

void Recorder::clear() {
  for (Log &log : logs)
    log.records.clear();
}

llvm::ArrayRef<PhaseRecord> Recorder::records(int thread) const {
  return logs[thread].records;
}

} // namespace lfmc::cli
