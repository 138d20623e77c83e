// SPDX-License-Identifier: Apache-2.0
#ifndef LFM_SRC_SESSION_H
#define LFM_SRC_SESSION_H

#include "Model.h"
#include "Sampler.h"
#include "Team.h"

#include <atomic>

namespace lfm_rt {

inline constexpr size_t kArrayAlignment = 64;

/// The arrays of a session, all aligned to kArrayAlignment.
struct SessionArrays {
  static constexpr size_t kHeadRows = 8;

  uint8_t *state, *arena;
  int32_t *tokens;  // [max_context]: what has been read
  int32_t *input;   // [max_prefill]
  float *hidden;    // [max_prefill][hidden_size]
  float *row;       // [kHeadRows][hidden_size], for rows that are not aligned
  float *lastRows;  // [prompt_rows][hidden_size], what prompt_end reads
  float *logits;    // [vocab_size]
  float *rowLogits; // [kHeadRows][vocab_size], for callers' unaligned arrays
  uint64_t *expertUses; // of all layers' experts
  char *text;           // textBytes, for lfm_generate
  size_t textBytes;
  uint8_t *samplerMemory;
};

/// Places the arrays behind the session at `base`, or with null only adds up.
/// State and arena start on pages of their own.
size_t layOut(const lfm_model &model, uint8_t *base, SessionArrays &arrays);

/// Bytes of a session's block.
size_t sessionBytes(const lfm_model &model);

} // namespace lfm_rt

/// A session is one mapped block: this object, then its arrays.
struct lfm_session : lfm_rt::SessionArrays {
public:
  lfm_status prefill(const int32_t *tokens, size_t n, float *logits);
  lfm_status decode(int32_t token, float *logits);
  lfm_status allLogits(const int32_t *tokens, size_t n, float *out);
  void reset();
  lfm_status setThreads(int32_t threads);
  lfm_status bindCaller();

  /// Whether a snapshot's tokens may become the session's; then takes them.
  void restoreTokens(const int32_t *from, int32_t count);

  lfm_status fail(lfm_status status, const char *format, ...)
      __attribute__((format(printf, 3, 4)));
  /// The result of a call that worked: no message.
  lfm_status succeed();
  /// Consumes a pending cancel.
  bool cancelled();

  const lfm_program &program() const { return *model->program; }

  lfm_model *model;
  size_t blockBytes;
  int32_t position;
  int32_t spinMicroseconds, defaultThreads;
  bool hasLogits;
  std::atomic<int32_t> cancelRequested;
  lfm_rt::Team team;
  lfm_sampler sampler; // knows all tokens of the session

  char message[256];

private:
  friend lfm_status lfm_session_create(lfm_model *, const lfm_session_options *,
                                       lfm_session **, char *, size_t);
  static void chosenExperts(lfm_sync *sync, uint64_t weights,
                            const int32_t *experts, int64_t count);
  lfm_status checkTokens(const int32_t *tokens, size_t n);
  void step(lfm_entry entry, const void *input, float *output, int64_t n,
            int64_t skipped = 0);
  int64_t prompt(int64_t n);
  void advance(const int32_t *tokens, int64_t n);
  void head(int64_t firstRow, int64_t rows, float *out);
};

#endif // LFM_SRC_SESSION_H
