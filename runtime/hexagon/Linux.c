/* SPDX-License-Identifier: Apache-2.0 */
#include "Linux.h"

enum {
  OPENAT = 56,
  READ = 63,
  WRITE = 64,
  EXIT_GROUP = 94,
  MUNMAP = 215,
  MMAP = 222,
  CLOCK_GETTIME64 = 403
};

long lfm_linux_call(long number, long a, long b, long c, long d, long e,
                    long f) {
  register long r0 __asm__("r0") = a;
  register long r1 __asm__("r1") = b;
  register long r2 __asm__("r2") = c;
  register long r3 __asm__("r3") = d;
  register long r4 __asm__("r4") = e;
  register long r5 __asm__("r5") = f;
  register long r6 __asm__("r6") = number;
  __asm__ volatile("trap0(#1)"
                   : "+r"(r0)
                   : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6)
                   : "memory");
  return r0;
}

int lfm_linux_open(const char *path, int create) {
  const long here = -100, writeCreateTruncate = 01 | 0100 | 01000;
  return (int)lfm_linux_call(OPENAT, here, (long)path,
                             create ? writeCreateTruncate : 0, 0644, 0, 0);
}

long lfm_linux_read(int file, void *memory, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    long got = lfm_linux_call(READ, file, (long)memory + (long)done,
                              (long)(bytes - done), 0, 0, 0);
    if (got < 0)
      return got;
    if (got == 0)
      break;
    done += (size_t)got;
  }
  return (long)done;
}

long lfm_linux_write(int file, const void *memory, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    long put = lfm_linux_call(WRITE, file, (long)memory + (long)done,
                              (long)(bytes - done), 0, 0, 0);
    if (put <= 0)
      return put ? put : -1;
    done += (size_t)put;
  }
  return (long)done;
}

void *lfm_linux_memory(uint64_t bytes) {
  const long readWrite = 1 | 2, privateAnonymous = 2 | 0x20;
  if (bytes > INT32_MAX)
    return NULL;
  unsigned long at = (unsigned long)lfm_linux_call(
      MMAP, 0, (long)bytes, readWrite, privateAnonymous, -1, 0);
  return at > -4096ul ? NULL : (void *)at;
}

void lfm_linux_free(void *memory, uint64_t bytes) {
  lfm_linux_call(MUNMAP, (long)memory, (long)bytes, 0, 0, 0, 0);
}

int64_t lfm_linux_nanoseconds(void) {
  const long monotonic = 1;
  int64_t time[2] = {0, 0}; /* seconds, nanoseconds */
  lfm_linux_call(CLOCK_GETTIME64, monotonic, (long)time, 0, 0, 0, 0);
  return time[0] * 1000000000 + time[1];
}

_Noreturn void lfm_linux_exit(int code) {
  lfm_linux_call(EXIT_GROUP, code, 0, 0, 0, 0, 0);
  __builtin_trap();
}
