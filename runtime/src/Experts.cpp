// SPDX-License-Identifier: Apache-2.0
#include "Experts.h"

#include "Session.h"
#include "Support.h"

#include <cstdlib>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

using namespace lfm_rt;

size_t lfm_rt::expertCount(const lfm_program &program) {
  return firstExpert(program, program.expert_layers);
}

size_t lfm_rt::firstExpert(const lfm_program &program, int32_t layer) {
  size_t count = 0;
  for (int32_t i = 0; i < layer; ++i)
    count += static_cast<size_t>(program.experts[i].count);
  return count;
}

int32_t lfm_rt::expertLayer(const lfm_program &program, uint64_t weights) {
  for (int32_t i = 0; i < program.expert_layers; ++i)
    if (program.experts[i].up_offset == weights)
      return i;
  return -1;
}

namespace {

uint64_t pageSize() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

} // namespace

ResidentExperts *ResidentExperts::create(const lfm_program &program,
                                         const uint8_t *weights, int file,
                                         uint64_t limit) {
  size_t count = expertCount(program);
  void *memory =
      std::calloc(1, sizeof(ResidentExperts) + count * sizeof(Expert));
  if (!memory)
    return nullptr;
  auto *created = new (memory) ResidentExperts();
  created->program = &program;
  created->weights = weights;
  created->file = file;
  created->limit = limit;
  created->bytes = created->clock = 0;
  created->count = count;
  created->all = reinterpret_cast<Expert *>(created + 1);
  pthread_mutex_init(&created->mutex, nullptr);
  for (int32_t i = 0; i < program.expert_layers; ++i) {
    const lfm_experts_info &info = program.experts[i];
    const auto n = static_cast<uint64_t>(info.count);
    const uint64_t ranges[2][2] = {{info.up_offset, n * info.up_bytes},
                                   {info.down_offset, n * info.down_bytes}};
    for (const uint64_t *range : ranges) {
      // Reading ahead of a fault would bring in neighbours, megabytes of them.
      uint64_t begin = range[0] / pageSize() * pageSize();
      madvise(const_cast<uint8_t *>(weights) + begin,
              range[0] + range[1] - begin, MADV_RANDOM);
    }
  }
  // All of the file: large pages of its cache span several experts.
  created->drop(0, program.weights_bytes);
  return created;
}

void ResidentExperts::destroy() {
  pthread_mutex_destroy(&mutex);
  close(file);
  std::free(this);
}

void ResidentExperts::fetch(int32_t layer, int32_t expert) const {
  const lfm_experts_info &info = program->experts[layer];
  const auto number = static_cast<uint64_t>(expert);
  const uint64_t ranges[2][2] = {
      {info.up_offset + number * info.up_bytes, info.up_bytes},
      {info.down_offset + number * info.down_bytes, info.down_bytes}};
  // The system cuts a request at its read-ahead's size, of which this is the
  // default, and forgets the rest.
  constexpr uint64_t piece = 128 << 10;
  for (const uint64_t *range : ranges) {
    uint64_t begin = range[0] / pageSize() * pageSize();
    for (uint64_t end = range[0] + range[1]; begin < end; begin += piece)
      madvise(const_cast<uint8_t *>(weights) + begin,
              end - begin < piece ? end - begin : piece, MADV_WILLNEED);
  }
}

// All whole pages: one at the edge is its neighbour's, too.
void ResidentExperts::drop(uint64_t begin, uint64_t bytes) const {
  uint64_t end = (begin + bytes) / pageSize() * pageSize();
  begin = (begin + pageSize() - 1) / pageSize() * pageSize();
  if (begin >= end)
    return;
  madvise(const_cast<uint8_t *>(weights) + begin, end - begin, MADV_DONTNEED);
#ifdef POSIX_FADV_DONTNEED
  // What no process maps leaves the system's cache as well.
  posix_fadvise(file, static_cast<off_t>(begin),
                static_cast<off_t>(end - begin), POSIX_FADV_DONTNEED);
#endif
}

void ResidentExperts::makeRoom() {
  while (bytes > limit) {
    int32_t layer = -1, expert = 0;
    uint64_t oldest = clock;
    const Expert *next = all;
    for (int32_t i = 0; i < program->expert_layers; ++i)
      for (int32_t e = 0; e < program->experts[i].count; ++e, ++next)
        if (next->lastUse && next->lastUse < oldest) {
          oldest = next->lastUse;
          layer = i;
          expert = e;
        }
    if (layer < 0)
      return;
    const lfm_experts_info &info = program->experts[layer];
    all[firstExpert(*program, layer) + static_cast<size_t>(expert)].lastUse = 0;
    bytes -= info.up_bytes + info.down_bytes;
    const auto number = static_cast<uint64_t>(expert);
    drop(info.up_offset + number * info.up_bytes, info.up_bytes);
    drop(info.down_offset + number * info.down_bytes, info.down_bytes);
  }
}

void ResidentExperts::use(int32_t layer, const int32_t *experts,
                          int64_t number) {
  pthread_mutex_lock(&mutex);
  const lfm_experts_info &info = program->experts[layer];
  Expert *of = all + firstExpert(*program, layer);
  clock += 2;
  for (int64_t i = 0; i < number; ++i) {
    Expert &expert = of[experts[i]];
    if (!expert.lastUse)
      bytes += info.up_bytes + info.down_bytes;
    // An odd number marks what is to be fetched.
    if (expert.lastUse < clock)
      expert.lastUse = clock + !expert.lastUse;
  }
  makeRoom();
  for (int64_t i = 0; i < number; ++i)
    if (Expert &expert = of[experts[i]]; expert.lastUse > clock) {
      expert.lastUse = clock;
      fetch(layer, experts[i]);
    }
  pthread_mutex_unlock(&mutex);
}

void lfm_session::chosenExperts(lfm_sync *sync, uint64_t weights,
                                const int32_t *experts, int64_t count) {
  auto &session = *static_cast<Team *>(sync)->owner;
  int32_t layer = expertLayer(session.program(), weights);
  if (layer < 0)
    return;
  uint64_t *uses = session.expertUses + firstExpert(session.program(), layer);
  for (int64_t i = 0; i < count; ++i)
    ++uses[experts[i]];
  if (session.model->residentExperts)
    session.model->residentExperts->use(layer, experts, count);
}

lfm_status lfm_session_experts(const lfm_session *session, int32_t index,
                               lfm_expert_uses *uses) {
  if (!session || !uses || index < 0 ||
      index >= session->program().expert_layers)
    return LFM_ERROR_INVALID_ARGUMENT;
  const lfm_experts_info &info = session->program().experts[index];
  uses->layer = info.layer;
  uses->experts = info.count;
  uses->per_token = info.per_token;
  uses->uses = session->expertUses + firstExpert(session->program(), index);
  return LFM_OK;
}
