/* SPDX-License-Identifier: Apache-2.0
 *
 * The few system calls of Hexagon Linux that the runner makes, without a C
 * library (qemu-hexagon). Results are negative error numbers on failure.
 */
#ifndef LFM_HEXAGON_LINUX_H
#define LFM_HEXAGON_LINUX_H

#include <stddef.h>
#include <stdint.h>

int lfm_linux_open(const char *path, int create);
long lfm_linux_call(long number, long a, long b, long c, long d, long e,
                    long f);
/* All of `bytes`, or fewer at the end of the file. */
long lfm_linux_read(int file, void *memory, size_t bytes);
long lfm_linux_write(int file, const void *memory, size_t bytes);
/* Zeroed memory, aligned to pages; null if there is none. */
void *lfm_linux_memory(uint64_t bytes);
void lfm_linux_free(void *memory, uint64_t bytes);
/* A clock that only goes forward. */
int64_t lfm_linux_nanoseconds(void);
_Noreturn void lfm_linux_exit(int code);

/* Sleeps while *word is `value`, or shorter; wakes all that sleep on `word`. */
void lfm_linux_wait(uint32_t *word, uint32_t value);
void lfm_linux_wake(uint32_t *word);

typedef struct lfm_linux_thread {
  void (*function)(void *);
  void *argument;
  uint8_t *memory; /* the stack above a page that nobody may touch */
  uint64_t stack_bytes;
  uint32_t alive;
} lfm_linux_thread;

/* Calls function(argument) on a new thread, until the function returns. Null
 * stack memory or no thread: a negative number. `thread` lives to the join. */
int lfm_linux_start(lfm_linux_thread *thread, void (*function)(void *),
                    void *argument, uint64_t stack_bytes);
/* Waits for its end; the bytes of stack that it has used. */
uint64_t lfm_linux_join(lfm_linux_thread *thread);

#endif /* LFM_HEXAGON_LINUX_H */
