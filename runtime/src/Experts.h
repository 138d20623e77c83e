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

/// The experts that are in memory, those last used, up to a number of bytes: of
/// this process and of the system's cache of the file. Shared by the sessions
/// of a model.
class ResidentExperts {
public:
  /// Lets go of the whole file. Null without memory; then `file` stays open,
  /// else it is closed by destroy(). `weights` is the mapped file.
  static ResidentExperts *create(const lfm_program &program,
                                 const uint8_t *weights, int file,
                                 uint64_t limit);
  void destroy();

  /// Lets go of those that were used longest ago, then asks for the experts
  /// that are not there. Those of this call stay, even beyond the limit.
  void use(int32_t layer, const int32_t *experts, int64_t count);

private:
  struct Expert {
    uint64_t lastUse; // 0: not there
  };
  void fetch(int32_t layer, int32_t expert) const;
  void drop(uint64_t begin, uint64_t bytes) const;
  void makeRoom();

  const lfm_program *program;
  const uint8_t *weights;
  int file;
  uint64_t limit, bytes, clock;
  size_t count;
  pthread_mutex_t mutex;
  Expert *all;
};

} // namespace lfm_rt

#endif // LFM_SRC_EXPERTS_H
