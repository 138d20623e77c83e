// SPDX-License-Identifier: Apache-2.0
#include "Session.h"

#include "Cpu.h"
#include "Experts.h"
#include "Support.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

using namespace lfm_rt;

static bool isAligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % kArrayAlignment == 0;
}

lfm_status lfm_session_create(lfm_model *model,
                              const lfm_session_options *options,
                              lfm_session **session, char *text,
                              size_t textBytes) {
  Message message{text, textBytes};
  message.fail(LFM_OK, "%s", "");
  if (session)
    *session = nullptr;
  if (!model || !session)
    return message.fail(LFM_ERROR_INVALID_ARGUMENT, "%s is null",
                        model ? "session" : "model");
  lfm_session_options chosen = options ? *options : lfm_session_options();
  bool valid = chosen.threads >= 0 && chosen.threads <= kMaxThreads &&
               chosen.spin_microseconds <= 1000000;
  for (uint32_t value : chosen.reserved)
    valid &= value == 0;
  if (!valid)
    return message.fail(LFM_ERROR_INVALID_ARGUMENT,
                        "session options: expected 0..%d threads, found %d, and"
                        " zeros in reserved",
                        kMaxThreads, chosen.threads);
  Processors processors;
  if (lfm_status bad = chooseProcessors(chosen, processors, message))
    return bad;
  size_t bytes = sessionBytes(*model);
  void *memory = mapMemory(bytes);
  if (!memory)
    return message.fail(LFM_ERROR_OUT_OF_MEMORY,
                        "model %s: no memory for a session of %zu bytes",
                        model->program->name, bytes);
  auto *created = new (memory) lfm_session();
  created->blockBytes = bytes;
  created->model = model;
  created->spinMicroseconds =
      chosen.spin_microseconds ? chosen.spin_microseconds : 50;
  int allowed = processors.count() ? processors.count() : allowedCpus();
  allowed = allowed < kMaxThreads ? allowed : kMaxThreads;
  created->defaultThreads = chosen.threads ? chosen.threads : allowed;
  layOut(*model, static_cast<uint8_t *>(memory), *created);
  created->sampler.open(model->program->vocab_size, created->samplerMemory);
  created->team.open();
  created->team.owner = created;
  created->team.processors = processors;
  if (model->program->expert_layers)
    created->team.chosen = lfm_session::chosenExperts;
  if (lfm_status bad = created->team.resize(
          created->defaultThreads, created->spinMicroseconds, message)) {
    created->team.close();
    unmapMemory(memory, bytes);
    return bad;
  }
  retainModel(model);
  *session = created;
  return LFM_OK;
}

void lfm_session_destroy(lfm_session *session) {
  if (!session)
    return;
  session->team.close();
  releaseModel(session->model);
  unmapMemory(session, session->blockBytes);
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

lfm_status lfm_session::fail(lfm_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return status;
}

lfm_status lfm_session::succeed() {
  message[0] = 0;
  return LFM_OK;
}

bool lfm_session::cancelled() {
  // A plain load first: the flag's line stays shared while nobody cancels.
  return cancelRequested.load(std::memory_order_relaxed) &&
         cancelRequested.exchange(0, std::memory_order_acq_rel);
}

lfm_status lfm_session::checkTokens(const int32_t *ids, size_t n) {
  int32_t vocab = program().vocab_size, context = program().max_context;
  if (!ids && n)
    return fail(LFM_ERROR_INVALID_ARGUMENT, "tokens is null");
  if (n > static_cast<size_t>(context - position))
    return fail(LFM_ERROR_CONTEXT_FULL,
                "context is full: %d of %d positions used, %zu tokens more",
                position, context, n);
  for (size_t i = 0; i < n; ++i)
    if (ids[i] < 0 || ids[i] >= vocab)
      return fail(LFM_ERROR_TOKEN_RANGE,
                  "token %zu: expected an id in 0..%d, found %d", i, vocab - 1,
                  ids[i]);
  return succeed();
}

// `n` rows, the first of them `skipped` positions from here.
void lfm_session::step(lfm_entry entry, const void *in, float *out, int64_t n,
                       int64_t skipped) {
  lfm_args args{model->weights, state, arena, in, out, n, position + skipped};
  team.run(entry, args);
}

// Reads `n` tokens of `input`, of which the last one's row of `hidden` may be
// wanted; returns which row that is.
int64_t lfm_session::prompt(int64_t n) {
  const lfm_program &p = program();
  const int64_t rows = p.prompt_rows, width = p.hidden_size;
  if (!p.prompt || n <= rows) {
    step(p.prefill, input, hidden, n);
    return n - 1;
  }
  step(p.prompt, input, hidden, n);
  std::memcpy(lastRows, hidden + (n - rows) * width,
              static_cast<size_t>(rows * width) * sizeof(float));
  step(p.prompt_end, lastRows, hidden, rows, n - rows);
  return rows - 1;
}

void lfm_session::advance(const int32_t *ids, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    sampler.accept(tokens[position + i] = ids[i]);
  position += static_cast<int32_t>(n);
}

// Logits of rows of `hidden` into `out`, which needs no alignment. Generated
// code wants 64 bytes on both sides, hence the detours through `row` and
// `rowLogits`.
void lfm_session::head(int64_t first, int64_t rows, float *out) {
  int64_t width = program().hidden_size, vocab = program().vocab_size;
  while (rows > 0) {
    const float *in = hidden + first * width;
    bool direct = isAligned(out);
    int64_t n = rows;
    constexpr int64_t kRows = kHeadRows;
    if ((!direct || !isAligned(in)) && n > kRows)
      n = kRows;
    if (!isAligned(in)) {
      std::memcpy(row, in, static_cast<size_t>(n * width) * sizeof(float));
      in = row;
    }
    step(program().head, in, direct ? out : rowLogits, n);
    if (!direct)
      std::memcpy(out, rowLogits,
                  static_cast<size_t>(n * vocab) * sizeof(float));
    out += n * vocab;
    first += n;
    rows -= n;
  }
}

lfm_status lfm_session::prefill(const int32_t *ids, size_t n, float *out) {
  if (lfm_status bad = checkTokens(ids, n))
    return bad;
  if (n == 0 && out)
    return fail(LFM_ERROR_INVALID_ARGUMENT, "logits need at least one token");
  hasLogits = false;
  while (n > 0) {
    if (n == 1 && out)
      return decode(*ids, out);
    if (cancelled())
      return fail(LFM_ERROR_CANCELLED, "cancelled at position %d", position);
    size_t most = static_cast<size_t>(program().max_prefill);
    int64_t count = static_cast<int64_t>(n < most ? n : most);
    std::memcpy(input, ids, static_cast<size_t>(count) * sizeof *ids);
    int64_t last = prompt(count);
    if (static_cast<size_t>(count) == n && out) {
      head(last, 1, logits);
      hasLogits = true;
      if (out != logits)
        std::memcpy(out, logits,
                    static_cast<size_t>(program().vocab_size) * sizeof *out);
    }
    advance(ids, count);
    ids += count;
    n -= static_cast<size_t>(count);
  }
  return succeed();
}

lfm_status lfm_session::decode(int32_t token, float *out) {
  if (lfm_status bad = checkTokens(&token, 1))
    return bad;
  hasLogits = false;
  if (cancelled())
    return fail(LFM_ERROR_CANCELLED, "cancelled at position %d", position);
  input[0] = token;
  step(program().decode, input, logits, 1);
  advance(&token, 1);
  hasLogits = true;
  if (out && out != logits)
    std::memcpy(out, logits,
                static_cast<size_t>(program().vocab_size) * sizeof *out);
  return succeed();
}

lfm_status lfm_session::allLogits(const int32_t *ids, size_t n, float *out) {
  if (lfm_status bad = checkTokens(ids, n))
    return bad;
  if (!out && n)
    return fail(LFM_ERROR_INVALID_ARGUMENT, "all_logits is null");
  hasLogits = false;
  size_t vocab = static_cast<size_t>(program().vocab_size);
  while (n > 0) {
    if (cancelled())
      return fail(LFM_ERROR_CANCELLED, "cancelled at position %d", position);
    size_t most = static_cast<size_t>(program().max_prefill);
    size_t count = n < most ? n : most;
    std::memcpy(input, ids, count * sizeof *ids);
    step(program().prefill, input, hidden, static_cast<int64_t>(count));
    head(0, static_cast<int64_t>(count), out);
    advance(ids, static_cast<int64_t>(count));
    ids += count;
    out += count * vocab;
    n -= count;
  }
  return succeed();
}

void lfm_session::reset() {
  if (position > 0)
    zeroMemory(state, program().state_bytes);
  position = 0;
  hasLogits = false;
  std::memset(expertUses, 0, expertCount(program()) * sizeof *expertUses);
  cancelRequested.store(0, std::memory_order_relaxed);
  sampler.forget();
  succeed();
}

void lfm_session::restoreTokens(const int32_t *from, int32_t count) {
  sampler.forget();
  position = 0;
  hasLogits = false;
  advance(from, count);
}

lfm_status lfm_session::setThreads(int32_t threads) {
  if (threads < 0 || threads > kMaxThreads)
    return fail(LFM_ERROR_INVALID_ARGUMENT, "expected 0..%d threads, found %d",
                kMaxThreads, threads);
  succeed();
  if (threads == 0)
    threads = defaultThreads;
  if (threads == team.size())
    return LFM_OK;
  return team.resize(threads, spinMicroseconds, {message, sizeof message});
}

lfm_status lfm_session::bindCaller() {
  if (team.processors.count() && !bindThread(team.processors))
    return fail(LFM_ERROR_THREADS, "the system does not let this thread run on "
                                   "the session's processors");
  return succeed();
}

//===----------------------------------------------------------------------===//
// C interface
//===----------------------------------------------------------------------===//

lfm_status lfm_session_prefill(lfm_session *session, const int32_t *tokens,
                               size_t n, float *logits) {
  return session ? session->prefill(tokens, n, logits)
                 : LFM_ERROR_INVALID_ARGUMENT;
}

lfm_status lfm_session_decode(lfm_session *session, int32_t token,
                              float *logits) {
  return session ? session->decode(token, logits) : LFM_ERROR_INVALID_ARGUMENT;
}

lfm_status lfm_session_logits(lfm_session *session, const int32_t *tokens,
                              size_t n, float *all) {
  return session ? session->allLogits(tokens, n, all)
                 : LFM_ERROR_INVALID_ARGUMENT;
}

const float *lfm_session_last_logits(const lfm_session *session) {
  return session && session->hasLogits ? session->logits : nullptr;
}

const char *lfm_session_message(const lfm_session *session) {
  return session ? session->message : "session is null";
}

int32_t lfm_session_position(const lfm_session *session) {
  return session ? session->position : 0;
}

const int32_t *lfm_session_tokens(const lfm_session *session) {
  return session ? session->tokens : nullptr;
}

void lfm_session_reset(lfm_session *session) {
  if (session)
    session->reset();
}

lfm_status lfm_session_set_threads(lfm_session *session, int32_t threads) {
  return session ? session->setThreads(threads) : LFM_ERROR_INVALID_ARGUMENT;
}

lfm_status lfm_session_bind_thread(lfm_session *session) {
  return session ? session->bindCaller() : LFM_ERROR_INVALID_ARGUMENT;
}

int32_t lfm_session_threads(const lfm_session *session) {
  return session ? session->team.size() : 0;
}

void lfm_session_cancel(lfm_session *session) {
  if (session)
    session->cancelRequested.store(1, std::memory_order_release);
}
