/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t lfm_record_bytes(const lfm_operand *o) {
  return o->run[0] + 2ull * o->run[1] + 4ull * o->run[2] + 4ull * o->run[3];
}

static void wrong(int k, uint64_t row, uint64_t column, double found,
                  double wanted) {
  printf("{\"status\": \"wrong\", \"kernel\": %d, \"row\": %llu, "
         "\"column\": %llu, \"found\": \"%g\", \"wanted\": \"%g\"}\n",
         k, (unsigned long long)row, (unsigned long long)column, found, wanted);
  exit(3);
}

static void checkGrid(const lfm_job *job, int k, const lfm_operand *o,
                      const float *found) {
  const float *wanted = (const float *)((const uint8_t *)job + o->data);
  for (uint64_t t = 0; t < job->tokens; ++t)
    for (uint64_t u = 0; u < o->units; ++u)
      for (uint64_t c = 0; c < o->columns; ++c, ++found) {
        float want =
            wanted[(lfm_is_b(u) * o->rows + t % o->rows) * o->columns + c];
        if (want == want && !(fabs((double)*found - want) <= job->tolerance))
          wrong(k, t, u * o->columns + c, *found, want);
      }
}

/* Of f16. */
static double half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double size = exponent == 31  ? (fraction ? NAN : INFINITY)
                      : exponent == 0 ? ldexp(fraction, -24)
                                      : ldexp(1024 + fraction, exponent - 25);
  return bits >> 15 ? -size : size;
}

static void checkRecords(const lfm_job *job, int k, const lfm_operand *o,
                         const uint8_t *found) {
  static const uint64_t bytes[LFM_RUNS] = {1, 2, 4, 4};
  const float *all = (const float *)((const uint8_t *)job + o->data);
  uint64_t values = 0;
  for (int run = 0; run < LFM_RUNS; ++run)
    values += o->run[run];
  for (uint64_t r = 0; r < o->units; ++r) {
    const float *wanted = all + r % o->rows * values;
    uint64_t c = 0;
    for (int run = 0; run < LFM_RUNS; ++run)
      for (uint32_t i = 0; i < o->run[run]; ++i, ++c, found += bytes[run]) {
        const double want = wanted[c];
        if (want != want)
          continue;
        uint16_t bits;
        float real;
        int32_t integer;
        double value = *(const int8_t *)found;
        if (run == 1) {
          memcpy(&bits, found, 2);
          value = half(bits);
        } else if (run == 2) {
          memcpy(&real, found, 4);
          value = real;
        } else if (run == 3) {
          memcpy(&integer, found, 4);
          value = integer;
        }
        const double most =
            run == 0 ? o->codes : o->tolerance + o->relative * fabs(want);
        if (!(fabs(value - want) <= most))
          wrong(k, r, c, value, want);
      }
  }
}

void lfm_check_operand(const lfm_job *job, int kernel, const lfm_operand *o,
                       const uint8_t *found) {
  if (o->kind == LFM_OPERAND_OUTPUT)
    checkGrid(job, kernel, o, (const float *)found);
  else if (o->kind == LFM_OPERAND_RECORDS)
    checkRecords(job, kernel, o, found);
}
