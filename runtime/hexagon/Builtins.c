/* SPDX-License-Identifier: Apache-2.0
 *
 * What LLVM's code for Hexagon calls because the processor has no instruction
 * for it: integer division, square roots, copies, and maxima. They go into
 * every package under names of its own, so that its code calls no library.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint64_t quotient, rest;
} divided;

/* Bit by bit, from the highest bit of the dividend on; x / 0 is all ones. */
static divided divide(uint64_t a, uint64_t b) {
  divided d = {0, a};
  if (b > a)
    return d;
  if (b == 0) {
    d.quotient = ~UINT64_C(0);
    return d;
  }
  int shift = __builtin_clzll(b) - __builtin_clzll(a);
  b <<= shift;
  for (; shift >= 0; --shift, b >>= 1)
    if (d.rest >= b) {
      d.rest -= b;
      d.quotient |= UINT64_C(1) << shift;
    }
  return d;
}

static uint64_t magnitude(int64_t value) {
  return value < 0 ? -(uint64_t)value : (uint64_t)value;
}
static int64_t withSign(uint64_t value, int negative) {
  return (int64_t)(negative ? -value : value);
}

uint64_t __hexagon_udivdi3(uint64_t a, uint64_t b) {
  return divide(a, b).quotient;
}
uint64_t __hexagon_umoddi3(uint64_t a, uint64_t b) { return divide(a, b).rest; }
int64_t __hexagon_divdi3(int64_t a, int64_t b) {
  return withSign(divide(magnitude(a), magnitude(b)).quotient,
                  (a < 0) != (b < 0));
}
int64_t __hexagon_moddi3(int64_t a, int64_t b) {
  return withSign(divide(magnitude(a), magnitude(b)).rest, a < 0);
}
uint32_t __hexagon_udivsi3(uint32_t a, uint32_t b) {
  return (uint32_t)divide(a, b).quotient;
}
uint32_t __hexagon_umodsi3(uint32_t a, uint32_t b) {
  return (uint32_t)divide(a, b).rest;
}
int32_t __hexagon_divsi3(int32_t a, int32_t b) {
  return (int32_t)__hexagon_divdi3(a, b);
}
int32_t __hexagon_modsi3(int32_t a, int32_t b) {
  return (int32_t)__hexagon_moddi3(a, b);
}

static float fromBits(uint32_t bits) {
  union {
    uint32_t bits;
    float value;
  } u = {bits};
  return u.value;
}

/* Correctly rounded: the root of the mantissa, with 24 bits and one to round,
 * bit by bit in integers. */
float __hexagon_sqrtf(float x) {
  union {
    float value;
    uint32_t bits;
  } u = {x};
  if (u.bits == 0x80000000u || u.bits == 0)
    return x;
  if (u.bits >= 0x7f800000u) /* negative, infinite or no number */
    return u.bits == 0x7f800000u ? x : fromBits(0x7fc00000u);
  int exponent = (int)(u.bits >> 23);
  uint64_t mantissa = u.bits & 0x7fffff;
  if (exponent)
    mantissa |= 0x800000;
  else
    exponent = 1;
  int lift = __builtin_clzll(mantissa) - 40; /* of subnormal numbers */
  mantissa <<= lift;
  exponent -= lift + 127;
  /* value = mantissa * 2^(exponent - 23), to be m * 2^even with a root of 25
   * bits. */
  uint64_t m = mantissa << (exponent & 1 ? 26 : 25);
  int half = (exponent - (exponent & 1)) / 2;
  uint64_t root = 0, rest = 0;
  for (int i = 24; i >= 0; --i) {
    rest = rest << 2 | (m >> (2 * i) & 3);
    uint64_t next = root << 2 | 1;
    root <<= 1;
    if (rest >= next) {
      rest -= next;
      root |= 1;
    }
  }
  /* A root of 24 bits and a half is no 48-bit number's: never a tie. */
  uint32_t rounded = (uint32_t)((root + 1) >> 1);
  return fromBits(((uint32_t)(half + 127) << 23) + rounded - 0x800000u);
}

void *memset(void *to, int value, size_t bytes) {
  volatile uint8_t *p = to;
  for (size_t i = 0; i < bytes; ++i)
    p[i] = (uint8_t)value;
  return to;
}
void *memmove(void *to, const void *from, size_t bytes) {
  volatile uint8_t *p = to;
  const uint8_t *q = from;
  if ((uintptr_t)to - (uintptr_t)from >= bytes)
    for (size_t i = 0; i < bytes; ++i)
      p[i] = q[i];
  else
    for (size_t i = bytes; i-- > 0;)
      p[i] = q[i];
  return to;
}
void *memcpy(void *to, const void *from, size_t bytes) {
  return memmove(to, from, bytes);
}

/* LLVM has the instruction, but not for all of its ways there. */
float fmaxf(float a, float b) { return a > b || b != b ? a : b; }
float fminf(float a, float b) { return a < b || b != b ? a : b; }
