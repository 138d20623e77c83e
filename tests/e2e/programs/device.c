/* SPDX-License-Identifier: Apache-2.0
 *
 * An application of NAME_device.h, with stub and skeleton in one process:
 * device NPU_WEIGHTS CPU_WEIGHTS [THREADS], "-" for none. Prints the processor,
 * then the best tokens after a prompt, after one more, and after both again.
 */
#include "npu_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *path(const char *argument) {
  return strcmp(argument, "-") ? argument : NULL;
}

static void read(npu_device *device, const int32_t *ids, int32_t count) {
  const int32_t vocab = npu_device_vocab_size(device);
  float *logits = malloc((size_t)vocab * sizeof *logits);
  lfm_status status = npu_device_read(device, ids, count, logits);
  int32_t best = 0;
  for (int32_t i = 1; status == LFM_OK && i < vocab; ++i)
    if (logits[i] > logits[best])
      best = i;
  printf(" %d", status == LFM_OK ? (int)best : -(int)status);
  free(logits);
}

int main(int argc, char **argv) {
  static const int32_t ids[] = {1, 7, 100, 42, 3, 9};
  char message[256] = "";
  npu_device *device;
  if (argc < 3 || npu_device_open(path(argv[1]), argc > 3 ? atoi(argv[3]) : 0,
                                  path(argv[2]), &device, message,
                                  sizeof message) != LFM_OK)
    return fprintf(stderr, "error: %s\n", message), 1;
  printf(npu_device_is_npu(device) ? "npu" : "cpu");
  read(device, ids, 5);
  read(device, ids + 5, 1);
  npu_device_reset(device);
  read(device, ids, 6);
  read(device, (const int32_t[]){-1}, 1);
  puts("");
  npu_device_close(device);
  return 0;
}
