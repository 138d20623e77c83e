// SPDX-License-Identifier: Apache-2.0
//
// Experts of a mixture: which of them a session has used, and, for files that
// are larger than the memory, which stay mapped in.
#ifndef LFM_SRC_EXPERTS_H
#define LFM_SRC_EXPERTS_H

#include "lfm/program.h"

#include <cstddef>
#include <pthread.h>

namespace lfm_rt {

/// Experts of all layers of a program.
size_t expertCount(const lfm_program &program);

/// Index of the layer whose weights begin at `weights`, or -1.
int32_t expertLayer(const lfm_program &program, uint64_t weights);

/// Number of the first expert of a layer among those of all layers.
size_t firstExpert(const lfm_program &program, int32_t layer);

/// The experts that are mapped in, those last used, up to a number of bytes.
/// Shared by the sessions of a model.
class ResidentExperts {
public:
  /// Null without memory. `weights` is the mapped file.
  static ResidentExperts *create(const lfm_program &program,
                                 const uint8_t *weights, uint64_t limit);
  void destroy();

  /// Asks for the experts that are not there, and lets go of those that were
  /// used longest ago. Those of this call stay, even beyond the limit.
  void use(int32_t layer, const int32_t *experts, int64_t count);

private:
  struct Expert {
    uint64_t lastUse; // 0: not there
  };
  void advise(int32_t layer, int32_t expert, int advice);
  void makeRoom();

  const lfm_program *program;
  const uint8_t *weights;
  uint64_t limit, bytes, clock;
  size_t count;
  pthread_mutex_t mutex;
  Expert *all;
};

} // namespace lfm_rt

#endif // LFM_SRC_EXPERTS_H
