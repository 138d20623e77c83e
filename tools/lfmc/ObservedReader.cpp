// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/ObservedReader.h"

#include "llvm/Support/MathExtras.h"

#include <cassert>
#include <cstring>

namespace lfmc::cli {

bool ObservedReader::Memory::allocate(uint64_t bytes) {
  bytes = llvm::alignTo(bytes + 64, 64);
  data.reset(static_cast<uint8_t *>(std::aligned_alloc(64, bytes)));
  if (data)
    std::memset(data.get(), 0, bytes);
  return data != nullptr;
}

bool ObservedReader::open(const lfm_program &of) {
  program = &of;
  chosen.resize(size_t(of.expert_layers));
  return state.allocate(of.state_bytes) && arena.allocate(of.arena_bytes) &&
         output.allocate(uint64_t(of.max_prefill) * of.hidden_size * 4);
}

void ObservedReader::read(const std::vector<int32_t> &tokens,
                          const uint8_t *weights) {
  for (int32_t i = 0; i < program->state_count; ++i)
    if (const lfm_state_info &info = program->states[i];
        info.bytes_per_token == 0)
      std::memset(state.data.get() + info.offset, 0, info.bytes);
  lfm_ticket tickets[2] = {};
  struct Sync : lfm_sync {
    ObservedReader *reader;
  } sync = {};
  sync.reader = this;
  sync.chosen = [](lfm_sync *sync, uint64_t weights, const int32_t *experts,
                   int64_t n) {
    ObservedReader &reader = *static_cast<Sync *>(sync)->reader;
    for (int32_t i = 0; i < reader.program->expert_layers; ++i)
      if (reader.program->experts[i].up_offset == weights)
        reader.chosen[i].assign(experts, experts + n);
  };
  sync.tickets[0] = &tickets[0];
  sync.tickets[1] = &tickets[1];
  sync.threads = 1;
  // A team of one passes every barrier.
  sync.barrier = [](lfm_sync *sync, int32_t parity) {
    sync->tickets[parity]->next = 0;
  };
  count = int64_t(tokens.size());
  lfm_args args = {weights,
                   state.data.get(),
                   arena.data.get(),
                   tokens.data(),
                   rows(-1),
                   count,
                   0};
  program->prefill(&args, &sync, 0);
}

// Of the last sequence: a state's, or, for -1, the hidden ones.
float *ObservedReader::rows(int64_t offset) const {
  return reinterpret_cast<float *>(offset < 0 ? output.data.get()
                                              : state.data.get() + offset);
}

void ObservedReader::add(Calibration &to, size_t input, int64_t part,
                         const Source &source) const {
  if (source.experts < 0)
    return to.add(input, part, rows(source.offset), count);
  int64_t slots = program->experts[source.experts].per_token;
  assert(int64_t(chosen[source.experts].size()) == count * slots);
  to.add(input, part, rows(source.offset), count, chosen[source.experts].data(),
         slots);
}

} // namespace lfmc::cli
