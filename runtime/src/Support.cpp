// SPDX-License-Identifier: Apache-2.0
#include "Support.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

namespace lfm_rt {

lfm_status Message::fail(lfm_status status, const char *format, ...) const {
  if (text && bytes) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, bytes, format, arguments);
    va_end(arguments);
  }
  return status;
}

void *mapMemory(size_t bytes) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

void unmapMemory(void *memory, size_t bytes) { munmap(memory, bytes); }

void zeroMemory(void *memory, size_t bytes) {
#ifdef __linux__
  // Below this, clearing is cheaper than faulting the pages in again.
  constexpr size_t kClearBytes = 1u << 20;
  size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
  uintptr_t first = alignUp(begin, page);
  uintptr_t last = (begin + bytes) / page * page;
  if (bytes > kClearBytes && madvise(reinterpret_cast<void *>(first),
                                     last - first, MADV_DONTNEED) == 0) {
    std::memset(memory, 0, first - begin);
    std::memset(reinterpret_cast<void *>(last), 0, begin + bytes - last);
    return;
  }
#endif
  std::memset(memory, 0, bytes);
}

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_nsec) * 1e-9;
}

} // namespace lfm_rt

extern "C" const char *lfm_status_string(int status) {
  switch (status) {
  case LFM_OK:
    return "ok";
  case LFM_ERROR_INVALID_ARGUMENT:
    return "invalid argument";
  case LFM_ERROR_TOKEN_RANGE:
    return "token id out of range";
  case LFM_ERROR_BUFFER_TOO_SMALL:
    return "buffer too small";
  case LFM_ERROR_NO_TOKENIZER:
    return "model has no tokenizer";
  case LFM_ERROR_NO_CHAT_TEMPLATE:
    return "model has no chat template";
  case LFM_ERROR_ABI:
    return "model was compiled for another version of the runtime";
  case LFM_ERROR_CPU:
    return "processor lacks needed instructions";
  case LFM_ERROR_OUT_OF_MEMORY:
    return "out of memory";
  case LFM_ERROR_FILE:
    return "cannot read file";
  case LFM_ERROR_THREADS:
    return "cannot start thread";
  case LFM_ERROR_WEIGHTS:
    return "weights do not belong to the model";
  case LFM_ERROR_SNAPSHOT:
    return "snapshot does not belong to the model";
  case LFM_ERROR_TOKENIZER:
    return "tokenizer tables are damaged";
  case LFM_ERROR_NUMERIC:
    return "logits are not finite";
  case LFM_ERROR_CONTEXT_FULL:
    return "context is full";
  case LFM_ERROR_CANCELLED:
    return "cancelled";
  }
  return "unknown status";
}
