/* SPDX-License-Identifier: Apache-2.0 */
#include "Linux.h"

enum {
  EXIT = 93,
  FUTEX = 98,
  CLONE = 220,
  MPROTECT = 226,
  guardBytes = 1 << 16 /* pages of Hexagon Linux have up to 64 KiB */
};

/* Not private to the process: the end of a thread wakes the others' way. */
void lfm_linux_wait(uint32_t *word, uint32_t value) {
  const long wait = 0;
  lfm_linux_call(FUTEX, (long)word, wait, (long)value, 0, 0, 0);
}

void lfm_linux_wake(uint32_t *word) {
  const long wake = 1;
  lfm_linux_call(FUTEX, (long)word, wake, INT32_MAX, 0, 0, 0);
}

_Noreturn __attribute__((used)) static void enter(lfm_linux_thread *thread) {
  thread->function(thread->argument);
  lfm_linux_call(EXIT, 0, 0, 0, 0, 0, 0);
  __builtin_trap();
}

/* In the new thread the caller's frame is not there: it never returns. */
long lfm_linux_clone(long flags, void *stack, lfm_linux_thread *thread,
                     uint32_t *alive);
__asm__(".type lfm_linux_clone, @function\n"
        "lfm_linux_clone:\n"
        "{ r7 = r2 }\n"
        "{ r6 = #220 ; r2 = #0 ; r4 = #0 }\n"
        "{ trap0(#1) }\n"
        "{ p0 = cmp.eq(r0, #0) }\n"
        "{ if (!p0) jumpr r31 }\n"
        "{ r0 = r7 ; r30 = #0 ; r31 = #0 }\n"
        "{ call enter }\n");

int lfm_linux_start(lfm_linux_thread *thread, void (*function)(void *),
                    void *argument, uint64_t stack_bytes) {
  /* Memory, file system, files, signals, a thread, semaphores; clears and wakes
   * `alive` at its end. */
  const long flags =
      0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x200000;
  const uint64_t bytes = guardBytes + stack_bytes;
  thread->function = function;
  thread->argument = argument;
  thread->stack_bytes = stack_bytes;
  thread->alive = 1;
  thread->memory = lfm_linux_memory(bytes);
  if (!thread->memory)
    return -1;
  if (lfm_linux_call(MPROTECT, (long)thread->memory, guardBytes, 0, 0, 0, 0) ==
          0 &&
      lfm_linux_clone(flags, thread->memory + bytes, thread, &thread->alive) >
          0)
    return 0;
  lfm_linux_free(thread->memory, bytes);
  return -1;
}

uint64_t lfm_linux_join(lfm_linux_thread *thread) {
  uint32_t alive;
  while ((alive = __atomic_load_n(&thread->alive, __ATOMIC_ACQUIRE)) != 0)
    lfm_linux_wait(&thread->alive, alive);
  /* Fresh memory is zero. */
  const uint8_t *stack = thread->memory + guardBytes;
  uint64_t untouched = 0;
  while (untouched < thread->stack_bytes && !stack[untouched])
    ++untouched;
  const uint64_t used = thread->stack_bytes - untouched;
  lfm_linux_free(thread->memory, guardBytes + thread->stack_bytes);
  return used;
}
