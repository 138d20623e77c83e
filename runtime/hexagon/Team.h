/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LFM_HEXAGON_TEAM_H
#define LFM_HEXAGON_TEAM_H

#include "lfm/npu.h"

/* Enters `entry` once on every thread of the team; returns when all are done
 * with what the step writes. */
void lfm_npu_run(lfm_npu *npu, lfm_entry entry, const lfm_args *args);

#endif /* LFM_HEXAGON_TEAM_H */
