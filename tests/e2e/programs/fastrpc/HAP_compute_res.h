/* SPDX-License-Identifier: Apache-2.0
 *
 * The DSP's manager of resources: VTCM of LFM_TEST_VTCM bytes (environment;
 * none: 0), here ordinary memory. At the end of the process standard error says
 * how often it was had, how often scratch was found in it, and how often it was
 * not given back.
 */
#ifndef HAP_COMPUTE_RES_H
#define HAP_COMPUTE_RES_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  unsigned bytes;
  void *vtcm;
} compute_res_attr_t;

static struct {
  unsigned bytes, had, used;
  unsigned char *memory;
} testVtcm;

static inline void testVtcmReport(void) {
  fprintf(stderr, "vtcm: had %u, used %u, kept %d\n", testVtcm.had,
          testVtcm.used, testVtcm.memory != NULL);
}
static inline int HAP_compute_res_attr_init(compute_res_attr_t *attributes) {
  memset(attributes, 0, sizeof *attributes);
  return 0;
}
static inline int HAP_compute_res_attr_set_vtcm_param(
    compute_res_attr_t *attributes, unsigned bytes, unsigned singlePage) {
  (void)singlePage;
  attributes->bytes = bytes;
  return 0;
}
static inline unsigned HAP_compute_res_acquire(compute_res_attr_t *attributes,
                                               unsigned microseconds) {
  const char *bytes = getenv("LFM_TEST_VTCM");
  (void)microseconds;
  if (testVtcm.memory || !bytes ||
      attributes->bytes > (unsigned)strtoul(bytes, NULL, 10))
    return 0;
  if (!testVtcm.had++)
    atexit(testVtcmReport);
  testVtcm.bytes = (attributes->bytes + 127) / 128 * 128;
  testVtcm.memory = aligned_alloc(128, testVtcm.bytes);
  memset(testVtcm.memory, 0, testVtcm.bytes);
  attributes->vtcm = testVtcm.memory;
  return 7;
}
static inline void *
HAP_compute_res_attr_get_vtcm_ptr(compute_res_attr_t *attributes) {
  return attributes->vtcm;
}
static inline int HAP_compute_res_release(unsigned id) {
  unsigned set = 0;
  for (unsigned i = 0; i < testVtcm.bytes; ++i)
    set |= testVtcm.memory[i];
  testVtcm.used += id == 7 && set;
  free(testVtcm.memory);
  testVtcm.memory = NULL;
  return 0;
}
#endif
