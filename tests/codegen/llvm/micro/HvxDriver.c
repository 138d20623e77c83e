/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls one kernel under qemu-hexagon: PROGRAM BUFFERS RESULT. BUFFERS is a
 * sequence of buffers, each an int32 of its bytes and the bytes; the last is
 * the kernel's output, written to RESULT. Linked with the kernel as
 * `lfmc_test_kernel` and with the system calls of runtime/hexagon.
 */
#include "runtime/hexagon/Linux.h"

/* LIMIT: attention's positions, behind its buffers. */
enum { MOST = 9, ALIGNMENT = 128, LIMIT = 50 };

/* halide_buffer_t as far as kernels read it. */
typedef struct {
  uint64_t device;
  const void *interface;
  void *host;
  uint64_t rest[8];
} buffer;

int lfmc_test_kernel(const buffer *, const buffer *, const buffer *,
                     const buffer *, const buffer *, const buffer *,
                     const buffer *, const buffer *, const buffer *, int32_t);

static int run(char **argv) {
  static buffer buffers[MOST];
  int32_t bytes = 0, count = 0;
  int in = lfm_linux_open(argv[1], 0), out = lfm_linux_open(argv[2], 1);
  if (in < 0 || out < 0)
    return 2;
  for (int32_t next; lfm_linux_read(in, &next, 4) == 4; ++count) {
    bytes = next;
    if (count == MOST)
      return 3;
    /* A page of its own, so that a kernel that writes past it is seen. */
    buffers[count].host = lfm_linux_memory((uint64_t)bytes + ALIGNMENT);
    if (!buffers[count].host ||
        lfm_linux_read(in, buffers[count].host, (size_t)bytes) != bytes)
      return 4;
  }
  if (lfmc_test_kernel(&buffers[0], &buffers[1], &buffers[2], &buffers[3],
                       &buffers[4], &buffers[5], &buffers[6], &buffers[7],
                       &buffers[8], LIMIT))
    return 5;
  return lfm_linux_write(out, buffers[count - 1].host, (size_t)bytes) == bytes
             ? 0
             : 6;
}

_Noreturn __attribute__((used)) static void start(long *stack) {
  lfm_linux_exit(stack[0] == 3 ? run((char **)(stack + 1)) : 1);
}
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "{ r0 = r29 }\n"
        "{ r29 = and(r29, #-16) }\n"
        "{ call start }\n");
