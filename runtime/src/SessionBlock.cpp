// SPDX-License-Identifier: Apache-2.0
//
// Where the arrays of a session lie in its block.
#include "Session.h"

#include "Experts.h"
#include "Support.h"
#include "Tokenizer.h"

using namespace lfm_rt;

namespace {

/// Lays arrays out one after another; with a null base it only adds up.
struct Layout {
  uint8_t *base;
  size_t used = 0;

  template <typename T>
  T *take(size_t count, size_t alignment = kArrayAlignment) {
    used = alignUp(used, alignment);
    T *taken = base ? reinterpret_cast<T *>(base + used) : nullptr;
    used += count * sizeof(T);
    return taken;
  }
};

// Held-back text: a stop string, the text of one token, and what is broken in
// them may become three times as long.
size_t generateTextBytes(const lfm_model &model) {
  return model.tokenizer
             ? lfm_tokenizer_max_text(model.tokenizer) + 2 * LFM_MAX_STOP_BYTES
             : 1;
}

} // namespace

size_t lfm_rt::layOut(const lfm_model &model, uint8_t *base,
                      SessionArrays &arrays) {
  constexpr size_t kPage = 4096;
  const lfm_program &p = *model.program;
  size_t vocab = static_cast<size_t>(p.vocab_size);
  size_t hidden = static_cast<size_t>(p.hidden_size);
  size_t prefill = static_cast<size_t>(p.max_prefill);

  Layout layout{base};
  layout.take<lfm_session>(1);
  arrays.input = layout.take<int32_t>(prefill);
  arrays.tokens = layout.take<int32_t>(static_cast<size_t>(p.max_context));
  arrays.hidden = layout.take<float>(prefill * hidden);
  arrays.row = layout.take<float>(SessionArrays::kHeadRows * hidden);
  arrays.lastRows =
      layout.take<float>(static_cast<size_t>(p.prompt_rows) * hidden);
  arrays.logits = layout.take<float>(vocab);
  arrays.rowLogits = layout.take<float>(SessionArrays::kHeadRows * vocab);
  arrays.expertUses = layout.take<uint64_t>(expertCount(p));
  arrays.textBytes = generateTextBytes(model);
  arrays.text = layout.take<char>(arrays.textBytes);
  arrays.samplerMemory =
      layout.take<uint8_t>(lfm_sampler::memoryBytes(p.vocab_size));
  arrays.arena = layout.take<uint8_t>(p.arena_bytes, kPage);
  arrays.state = layout.take<uint8_t>(p.state_bytes, kPage);
  return alignUp(layout.used, kPage);
}

size_t lfm_rt::sessionBytes(const lfm_model &model) {
  SessionArrays arrays;
  return layOut(model, nullptr, arrays);
}
