// SPDX-License-Identifier: Apache-2.0
#include "Cores.h"

#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

namespace lfm_rt {

// The number in a file; 0 if there is none. No stdio: it allocates.
static int64_t numberIn(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return 0;
  char text[24];
  ssize_t length = read(file, text, sizeof text);
  close(file);
  int64_t number = 0;
  for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; ++i)
    number = number < INT64_MAX / 20 ? number * 10 + (text[i] - '0') : number;
  return number;
}

static int64_t capacity(const char *folder, int processor) {
  char path[256];
  int64_t found = 0;
  const char *const names[] = {"cpu_capacity", "cpufreq/cpuinfo_max_freq"};
  for (const char *name : names)
    if (!found && snprintf(path, sizeof path, "%s/cpu%d/%s", folder, processor,
                           name) < int(sizeof path))
      found = numberIn(path);
  return found;
}

Processors chooseProcessors(const Processors &allowed, uint32_t cores,
                            uint64_t mask, const char *folder) {
  Processors chosen = allowed;
  if (mask)
    for (int i = 0; i < Processors::kMost; ++i)
      if (i >= 64 || !(mask >> i & 1))
        chosen.set(i, false);
  if (cores != LFM_CORES_BIG)
    return chosen;
  int64_t largest = 0;
  for (int i = 0; i < Processors::kMost; ++i)
    if (chosen.has(i)) {
      int64_t one = capacity(folder, i);
      largest = one > largest ? one : largest;
    }
  for (int i = 0; i < Processors::kMost; ++i)
    if (chosen.has(i)) {
      int64_t one = capacity(folder, i);
      chosen.set(i, one == 0 || one >= largest - one);
    }
  return chosen;
}

lfm_status chooseProcessors(const lfm_session_options &options,
                            Processors &chosen, const Message &message) {
  chosen = Processors();
  if (options.cores > LFM_CORES_BIG)
    return message.fail(LFM_ERROR_INVALID_ARGUMENT,
                        "session options: unknown cores %u, expected "
                        "LFM_CORES_ALL or LFM_CORES_BIG",
                        options.cores);
  if (!options.cores && !options.processors)
    return LFM_OK;
#ifdef __linux__
  Processors allowed = {};
  cpu_set_t set;
  static_assert(Processors::kMost <= CPU_SETSIZE, "a larger set");
  if (sched_getaffinity(0, sizeof set, &set))
    return message.fail(LFM_ERROR_THREADS,
                        "session options: the system does not say on which "
                        "processors this process may run");
  for (int i = 0; i < Processors::kMost; ++i)
    allowed.set(i, CPU_ISSET(i, &set));
  chosen = chooseProcessors(allowed, options.cores, options.processors,
                            "/sys/devices/system/cpu");
  if (chosen.count())
    return LFM_OK;
  return message.fail(LFM_ERROR_INVALID_ARGUMENT,
                      "session options: this process may use none of the "
                      "processors 0x%llx",
                      static_cast<unsigned long long>(options.processors));
#else
  return message.fail(LFM_ERROR_THREADS,
                      "session options: this system does not bind threads to "
                      "processors, expected cores and processors of 0");
#endif
}

bool bindThread(const Processors &chosen) {
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < Processors::kMost; ++i)
    if (chosen.has(i))
      CPU_SET(i, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
#else
  (void)chosen;
  return false;
#endif
}

} // namespace lfm_rt
