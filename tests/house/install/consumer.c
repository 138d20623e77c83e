/* SPDX-License-Identifier: Apache-2.0 */
#include "lfm/lfm.h"

#include <stdio.h>

int main(void) {
  lfm_model *model = NULL;
  char message[128] = "";
  lfm_status status =
      lfm_model_open(NULL, "none", NULL, &model, message, sizeof message);
  printf("%s\n", lfm_status_string(status));
  return status == LFM_ERROR_INVALID_ARGUMENT ? 0 : 1;
}
