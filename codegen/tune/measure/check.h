/* SPDX-License-Identifier: Apache-2.0
 *
 * What a kernel wrote against what is expected.
 */
#ifndef LFM_MEASURE_CHECK_H
#define LFM_MEASURE_CHECK_H

#include "job.h"

/* Whether a unit is B. */
static inline unsigned lfm_is_b(uint64_t unit) {
  return (unsigned)__builtin_parityll(unit);
}

uint64_t lfm_record_bytes(const lfm_operand *o);

/* Where operand `o` of kernel `kernel` is an output and its memory holds
 * something else than the job expects, says so on standard output and exits
 * with 3. */
void lfm_check_operand(const lfm_job *job, int kernel, const lfm_operand *o,
                       const uint8_t *found);

#endif /* LFM_MEASURE_CHECK_H */
