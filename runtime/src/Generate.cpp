// SPDX-License-Identifier: Apache-2.0
#include "Session.h"
#include "Support.h"
#include "Tokenizer.h"

#include <cstring>

using namespace lfm_rt;

namespace {

/// The text of an answer on its way to the callback: holds back incomplete
/// characters and what may be the beginning of a stop string.
class AnswerText {
public:
  AnswerText(const lfm_tokenizer *tokenizer, const lfm_generate_params &params,
             char *memory, size_t capacity)
      : tokenizer(tokenizer), params(params), memory(memory),
        capacity(capacity) {}

  /// Adds the text of `token`. Afterwards ready() bytes of text() can go out.
  void add(int32_t token) {
    drop();
    if (!tokenizer)
      return;
    uint32_t flags = params.flags & LFM_GENERATE_SPECIAL_TEXT
                         ? 0
                         : LFM_DETOKENIZE_SKIP_SPECIAL;
    size_t bytes = 0;
    lfm_decode_token(tokenizer, &decoder, token, flags, memory + count,
                     capacity - count, &bytes);
    count += bytes;
    findStop();
  }

  /// Ends the text: everything is ready.
  void finish() {
    drop();
    count += lfm_decode_finish(&decoder, memory + count);
    readyBytes = count;
  }

  const char *text() const { return memory; }
  size_t ready() const { return readyBytes; }
  bool stopped() const { return atStop; }

private:
  void drop() {
    std::memmove(memory, memory + readyBytes, count - readyBytes);
    count -= readyBytes;
    readyBytes = 0;
  }

  void findStop() {
    size_t end = count, held = 0;
    for (int32_t i = 0; i < params.stop_count; ++i) {
      const char *stop = params.stop[i];
      size_t bytes = std::strlen(stop);
      for (size_t at = 0; at < end; ++at) {
        size_t left = count - at;
        if (left >= bytes && std::memcmp(memory + at, stop, bytes) == 0) {
          end = at;
          atStop = true;
        } else if (left < bytes && std::memcmp(memory + at, stop, left) == 0) {
          held = left > held ? left : held;
          break;
        }
      }
    }
    readyBytes = atStop ? end : count - held;
  }

  const lfm_tokenizer *tokenizer;
  const lfm_generate_params &params;
  char *memory;
  size_t capacity;
  size_t count = 0, readyBytes = 0;
  lfm_decoder decoder = {};
  bool atStop = false;
};

bool isUtf8(const char *text, size_t bytes) {
  auto *p = reinterpret_cast<const uint8_t *>(text), *end = p + bytes;
  while (p < end) {
    size_t length = utf8Length(p, end);
    if (length == 0)
      return false;
    p += length;
  }
  return true;
}

lfm_status checkParams(lfm_session &session,
                       const lfm_generate_params &params) {
  if (params.max_tokens < 0 || params.stop_count < 0 ||
      params.stop_count > LFM_MAX_STOP_STRINGS ||
      (params.stop_count && !params.stop) ||
      params.flags > (LFM_GENERATE_SPECIAL_TEXT | LFM_GENERATE_IGNORE_EOS))
    return session.fail(LFM_ERROR_INVALID_ARGUMENT,
                        "generate: max_tokens %d, stop_count %d (at most %d) or"
                        " flags %u out of range",
                        params.max_tokens, params.stop_count,
                        LFM_MAX_STOP_STRINGS, params.flags);
  if (params.stop_count && !session.model->tokenizer)
    return session.fail(LFM_ERROR_NO_TOKENIZER,
                        "stop strings need a tokenizer");
  for (int32_t i = 0; i < params.stop_count; ++i) {
    const char *stop = params.stop[i];
    size_t bytes = stop ? strnlen(stop, LFM_MAX_STOP_BYTES) : 0;
    if (bytes == 0 || bytes >= LFM_MAX_STOP_BYTES || !isUtf8(stop, bytes))
      return session.fail(LFM_ERROR_INVALID_ARGUMENT,
                          "stop string %d: expected UTF-8 of 1..%d bytes", i,
                          LFM_MAX_STOP_BYTES - 1);
  }
  return LFM_OK;
}

bool isEnd(const lfm_program &program, int32_t token) {
  for (int32_t i = 0; i < program.eos_count; ++i)
    if (program.eos[i] == token)
      return true;
  return false;
}

/// Generates until something stops it; see lfm_generate.
lfm_status answer(lfm_session &session, const lfm_generate_params &params,
                  AnswerText &text, lfm_token_callback callback, void *user,
                  lfm_generate_result &result) {
  auto stop = [&](lfm_stop_reason reason) {
    result.reason = reason;
    return LFM_OK;
  };
  const lfm_program &program = session.program();
  for (;;) {
    if (session.cancelled())
      return stop(LFM_STOP_CANCELLED);
    int32_t token = -1;
    if (lfm_status bad = session.sampler.sample(session.logits, &token))
      return session.fail(bad, "position %d: no logit is a finite number",
                          session.position);
    ++result.tokens;
    result.pending = token;
    if (!(params.flags & LFM_GENERATE_IGNORE_EOS) && isEnd(program, token)) {
      result.stop_token = token;
      return stop(LFM_STOP_EOS);
    }
    text.add(token);
    if (callback && callback(user, token, text.text(), text.ready()))
      return stop(LFM_STOP_CALLBACK);
    if (text.stopped())
      return stop(LFM_STOP_STRING);
    if (params.max_tokens && result.tokens >= params.max_tokens)
      return stop(LFM_STOP_MAX_TOKENS);
    if (session.position == program.max_context)
      return stop(LFM_STOP_CONTEXT);
    lfm_status status = session.decode(token, session.logits);
    if (status == LFM_ERROR_CANCELLED)
      return stop(LFM_STOP_CANCELLED);
    if (status)
      return status;
  }
}

} // namespace

void lfm_generate_params_default(lfm_generate_params *params) {
  if (!params)
    return;
  *params = lfm_generate_params();
  params->sampling = {-1, -1, -1, -1, -1, 0};
}

lfm_status lfm_generate(lfm_session *session, const int32_t *tokens, size_t n,
                        const lfm_generate_params *params,
                        lfm_token_callback callback, void *user,
                        lfm_generate_result *out) {
  lfm_generate_result ignored;
  lfm_generate_result &result = out ? *out : ignored;
  result = lfm_generate_result();
  result.stop_token = result.pending = -1;
  if (!session)
    return LFM_ERROR_INVALID_ARGUMENT;
  lfm_generate_params chosen;
  lfm_generate_params_default(&chosen);
  if (params)
    chosen = *params;
  if (lfm_status bad = checkParams(*session, chosen))
    return bad;
  const lfm_model &model = *session->model;
  int32_t limit = session->program().vocab_size;
  if (model.tokenizer && lfm_tokenizer_size(model.tokenizer) < limit)
    limit = lfm_tokenizer_size(model.tokenizer); // rows behind it are unused
  lfm_sampling sampling = resolveSampling(model, chosen.sampling);
  if (lfm_status bad = session->sampler.configure(sampling, limit))
    return session->fail(bad,
                         "sampling: a value is out of range: temperature"
                         " %g, top_k %d, top_p %g, min_p %g, repetition"
                         " penalty %g",
                         static_cast<double>(sampling.temperature),
                         sampling.top_k, static_cast<double>(sampling.top_p),
                         static_cast<double>(sampling.min_p),
                         static_cast<double>(sampling.repetition_penalty));
  if (n == 0)
    return session->fail(LFM_ERROR_INVALID_ARGUMENT,
                         "generate: the prompt is empty");

  double begin = now();
  lfm_status status = session->prefill(tokens, n, session->logits);
  double middle = now();
  result.prompt_seconds = middle - begin;
  if (status == LFM_ERROR_CANCELLED) {
    result.reason = LFM_STOP_CANCELLED;
    return session->succeed();
  }
  if (status)
    return status;
  AnswerText text(model.tokenizer, chosen, session->text, session->textBytes);
  status = answer(*session, chosen, text, callback, user, result);
  result.decode_seconds = now() - middle;
  if (status)
    return status;
  if (result.reason != LFM_STOP_STRING && result.reason != LFM_STOP_CALLBACK) {
    text.finish();
    if (callback && text.ready())
      callback(user, -1, text.text(), text.ready());
  }
  return session->succeed();
}
