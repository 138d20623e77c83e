// SPDX-License-Identifier: Apache-2.0
//
// Calls a kernel as a function would that has something in ZA (AAPCS64, lazy
// saving), and ends the program unless all comes back that it may rely on.
// Linked with --wrap=kernel.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256 }; // bytes of a vector

uint8_t sme_pattern[MOST * MOST];
static uint8_t saved[MOST * MOST];
struct {
  void *buffer;
  uint16_t slices;
  uint8_t reserved[6];
} sme_block;
uint64_t sme_registers[16], sme_kept[16], sme_state[2];

// The call, between registers that a callee must keep.
__asm__(".arch armv9-a+sme\n"
        ".text\n"
        "sme_call:\n"
        "  stp x29, x30, [sp, #-160]!\n"
        "  stp d8, d9, [sp, #16]\n"
        "  stp d10, d11, [sp, #32]\n"
        "  stp d12, d13, [sp, #48]\n"
        "  stp d14, d15, [sp, #64]\n"
        "  stp x20, x21, [sp, #80]\n"
        "  stp x22, x23, [sp, #96]\n"
        "  stp x24, x25, [sp, #112]\n"
        "  stp x26, x27, [sp, #128]\n"
        "  smstart za\n"
        "  rdsvl x11, #1\n"
        "  ldr x10, =sme_pattern\n"
        "  mov w12, #0\n"
        "1: ldr za[w12, #0], [x10]\n"
        "  add x10, x10, x11\n"
        "  add w12, w12, #1\n"
        "  cmp w12, w11\n"
        "  b.lo 1b\n"
        "  ldr x10, =sme_block\n"
        "  msr TPIDR2_EL0, x10\n"
        "  ldr x9, =sme_registers\n"
        "  ldp d8, d9, [x9]\n"
        "  ldp d10, d11, [x9, #16]\n"
        "  ldp d12, d13, [x9, #32]\n"
        "  ldp d14, d15, [x9, #48]\n"
        "  ldp x20, x21, [x9, #64]\n"
        "  ldp x22, x23, [x9, #80]\n"
        "  ldp x24, x25, [x9, #96]\n"
        "  ldp x26, x27, [x9, #112]\n"
        "  bl __real_kernel\n"
        "  ldr x9, =sme_kept\n"
        "  stp d8, d9, [x9]\n"
        "  stp d10, d11, [x9, #16]\n"
        "  stp d12, d13, [x9, #32]\n"
        "  stp d14, d15, [x9, #48]\n"
        "  stp x20, x21, [x9, #64]\n"
        "  stp x22, x23, [x9, #80]\n"
        "  stp x24, x25, [x9, #96]\n"
        "  stp x26, x27, [x9, #112]\n"
        "  ldr x9, =sme_state\n"
        "  mrs x10, TPIDR2_EL0\n"
        "  mrs x11, SVCR\n"
        "  stp x10, x11, [x9]\n"
        "  ldp d8, d9, [sp, #16]\n"
        "  ldp d10, d11, [sp, #32]\n"
        "  ldp d12, d13, [sp, #48]\n"
        "  ldp d14, d15, [sp, #64]\n"
        "  ldp x20, x21, [sp, #80]\n"
        "  ldp x22, x23, [sp, #96]\n"
        "  ldp x24, x25, [sp, #112]\n"
        "  ldp x26, x27, [sp, #128]\n"
        "  ldp x29, x30, [sp], #160\n"
        "  ret\n"
        ".ltorg\n"
        "sme_bytes:\n"
        "  rdsvl x0, #1\n"
        "  ret\n");

extern int sme_call(void *, void *, void *, void *, void *, void *);
extern uint64_t sme_bytes(void);

static void expect(int holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "not as a caller may expect: %s\n", what);
  exit(3);
}

int __wrap_kernel(void *a, void *b, void *c, void *d, void *e, void *f) {
  const uint64_t bytes = sme_bytes();
  for (int i = 0; i < MOST * MOST; ++i)
    sme_pattern[i] = (uint8_t)(i * 7 + i / 251);
  for (int i = 0; i < 16; ++i)
    sme_registers[i] = 0x0123456789abcdefu * (uint64_t)(2 * i + 1);
  sme_block.buffer = saved;
  sme_block.slices = (uint16_t)bytes;
  const int answer = sme_call(a, b, c, d, e, f);
  expect(!memcmp(sme_registers, sme_kept, sizeof sme_kept),
         "d8 to d15, x20 to x27");
  expect(sme_state[0] == 0, "TPIDR2_EL0, zero");
  expect(sme_state[1] == 0, "SVCR, zero");
  expect(!memcmp(saved, sme_pattern, bytes * bytes), "the saved ZA");
  return answer;
}
