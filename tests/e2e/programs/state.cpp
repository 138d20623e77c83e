// SPDX-License-Identifier: Apache-2.0
//
// Compiled against a package by StateTest: what a session holds, seen by an
// application. Exits with 0, or prints the line that failed.
#include "small.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

static void check(bool fine, int line, const char *what) {
  if (fine)
    return;
  std::fprintf(stderr, "line %d: %s\n", line, what);
  std::exit(1);
}
#define CHECK(x) check((x), __LINE__, #x)

static lfm_model *model;
static int32_t vocab;

static lfm_session *start(int threads) {
  lfm_session_options options = {};
  options.threads = threads;
  lfm_session *session;
  char message[256];
  CHECK(lfm_session_create(model, &options, &session, message, 256) == LFM_OK);
  return session;
}

/// Logits after each of `tokens`, one at a time.
static std::vector<float> decode(lfm_session *session,
                                 const std::vector<int32_t> &tokens) {
  std::vector<float> all(tokens.size() * vocab);
  for (size_t i = 0; i < tokens.size(); ++i)
    CHECK(lfm_session_decode(session, tokens[i], &all[i * vocab]) == LFM_OK);
  return all;
}

int main() {
  char message[256];
  CHECK(small_open("small.weights", &model, message, 256) == LFM_OK);
  lfm_model_info info;
  CHECK(lfm_model_get_info(model, &info) == LFM_OK);
  vocab = info.vocab_size;
  CHECK(info.max_context == 100); // not a multiple of any block
  std::vector<int32_t> prompt, rest;
  for (int32_t i = 0; i < 100; ++i)
    (i < 37 ? prompt : rest).push_back((i * 611 + 17) % vocab);

  // To the last position; then the context is full and the state unchanged.
  lfm_session *first = start(2);
  CHECK(lfm_session_prefill(first, prompt.data(), prompt.size(), nullptr) == LFM_OK);
  std::vector<char> blob(lfm_session_snapshot_size(first));
  CHECK(lfm_session_snapshot_save(first, blob.data(), blob.size()) == LFM_OK);
  std::vector<float> expected = decode(first, rest);
  for (float value : expected)
    CHECK(std::isfinite(value));
  CHECK(lfm_session_decode(first, 1, nullptr) == LFM_ERROR_CONTEXT_FULL);
  CHECK(lfm_session_position(first) == 100);

  // A snapshot holds what was used, not the whole state, and brings back
  // exactly the same numbers, in another session with more threads.
  CHECK(blob.size() < info.state_bytes);
  lfm_session *second = start(3);
  CHECK(lfm_session_prefill(second, rest.data(), 20, nullptr) == LFM_OK);
  CHECK(lfm_session_snapshot_load(second, blob.data(), blob.size()) == LFM_OK);
  CHECK(decode(second, rest) == expected);
  CHECK(lfm_session_snapshot_load(first, blob.data(), blob.size()) == LFM_OK);
  CHECK(decode(first, rest) == expected);

  // Several sessions at once, with different numbers of threads.
  std::vector<std::thread> users;
  for (int threads = 1; threads <= 3; ++threads)
    users.emplace_back([&, threads] {
      lfm_session *own = start(threads);
      CHECK(lfm_session_prefill(own, prompt.data(), prompt.size(), nullptr) == LFM_OK);
      CHECK(decode(own, rest) == expected);
      lfm_session_destroy(own);
    });
  for (std::thread &user : users)
    user.join();

  lfm_session_destroy(first);
  lfm_session_destroy(second);
  lfm_model_close(model);
  return 0;
}
