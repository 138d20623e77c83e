// SPDX-License-Identifier: Apache-2.0
//
// smopa of 8-bit integers by other instructions of SME, for emulators that get
// it wrong: qemu 7.2 computes a quarter of the sums (its issue 2083).
// Linked into a program, this replaces the kernels' smopa at its start, if a
// trial shows that it must: each becomes a branch to instructions that do the
// same, slice by slice, by sdot.
//
// What kernels must leave to it: z30, z31, w12, and p1 for the words of 512
// bits. Their predicates of smopa are p0, for as many bytes.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REGISTERS = 8, TILES = 4, WORDS = 4 * (1 + 4 * 4) };

// [tile][rows' register][columns' register], WORDS instructions each.
__asm__(".arch armv9-a+sme\n"
        ".text\n"
        ".macro slice tile, n, m, lane, at\n"
        "  mova z31.s, p1/m, za\\tile\\()h.s[w12, #\\at]\n"
        "  dup z30.s, z\\n\\().s[\\lane]\n"
        "  sdot z31.s, z30.b, z\\m\\().b\n"
        "  mova za\\tile\\()h.s[w12, #\\at], p1/m, z31.s\n"
        ".endm\n"
        ".macro product tile, n, m\n"
        "  .irp first, 0, 4, 8, 12\n"
        "    mov w12, #\\first\n"
        "    .irp at, 0, 1, 2, 3\n"
        "      slice \\tile, \\n, \\m, (\\first + \\at), \\at\n"
        "    .endr\n"
        "  .endr\n"
        ".endm\n"
        ".global smopa_model\n"
        "smopa_model:\n"
        ".irp tile, 0, 1, 2, 3\n"
        "  .irp n, 0, 1, 2, 3, 4, 5, 6, 7\n"
        "    .irp m, 0, 1, 2, 3, 4, 5, 6, 7\n"
        "      product \\tile, \\n, \\m\n"
        "    .endr\n"
        "  .endr\n"
        ".endr\n"
        // The second row's first sum of bytes 4 to 7 times one: 22.
        ".global smopa_trial\n"
        "smopa_trial:\n"
        "  stp d8, d9, [sp, #-64]!\n"
        "  stp d10, d11, [sp, #16]\n"
        "  stp d12, d13, [sp, #32]\n"
        "  stp d14, d15, [sp, #48]\n"
        "  smstart\n"
        "  ptrue p0.b\n"
        "  index z0.b, #0, #1\n"
        "  mov z1.b, #1\n"
        "  zero {za}\n"
        "  smopa za0.s, p0/m, p0/m, z0.b, z1.b\n"
        "  mov w12, #0\n"
        "  mova z0.s, p0/m, za0h.s[w12, #1]\n"
        "  fmov w0, s0\n"
        "  smstop\n"
        "  ldp d10, d11, [sp, #16]\n"
        "  ldp d12, d13, [sp, #32]\n"
        "  ldp d14, d15, [sp, #48]\n"
        "  ldp d8, d9, [sp], #64\n"
        "  ret\n");

extern const uint32_t smopa_model[TILES][REGISTERS][REGISTERS][WORDS];
extern int smopa_trial(void);
extern char __executable_start, etext;

static uint32_t replacements[512][WORDS + 1];

static void fail(const char *why) {
  fprintf(stderr, "smopa model: %s\n", why);
  abort();
}

static uint32_t branch(const uint32_t *from, const uint32_t *to) {
  return 0x14000000u | ((uint32_t)(to - from) & 0x3ffffffu);
}

static void unlock(void *from, void *to) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t first = (uintptr_t)from & ~(page - 1);
  if (mprotect((void *)first, (uintptr_t)to - first,
               PROT_READ | PROT_WRITE | PROT_EXEC))
    fail("cannot write the program's text");
}

__attribute__((constructor)) static void replace(void) {
  const unsigned long smeI8I32 = 1ul << 26;
  if (!(getauxval(AT_HWCAP2) & smeI8I32) || smopa_trial() == 22)
    return;
  unlock(&__executable_start, &etext);
  unlock(replacements, replacements + 512);
  size_t used = 0;
  for (uint32_t *at = (uint32_t *)&__executable_start; at < (uint32_t *)&etext;
       ++at) {
    // Zm, predicates, Zn and the tile vary; predicates must be p0.
    if ((*at & 0xffe0001cu) != 0xa0800000u)
      continue;
    const unsigned tile = *at & 3, n = *at >> 5 & 31, m = *at >> 16 & 31;
    if (*at >> 10 & 63 || n >= REGISTERS || m >= REGISTERS)
      fail("registers that it does not know");
    if (used == 512)
      fail("more products than it has room for");
    uint32_t *to = replacements[used++];
    memcpy(to, smopa_model[tile][n][m], WORDS * sizeof *to);
    to[WORDS] = branch(to + WORDS, at + 1);
    *at = branch(at, to);
  }
  __builtin___clear_cache(&__executable_start, &etext);
  __builtin___clear_cache((char *)replacements, (char *)(replacements + 512));
}
