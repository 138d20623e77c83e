// SPDX-License-Identifier: Apache-2.0
//
// lfm.h with objects: C++17, header-only, exceptions instead of status codes.
//
//   lfm::Model model(NAME_program(), "NAME.weights");
//   lfm::Session session(model);
//   session.generate(model.tokenizer().encode("Once upon a time"),
//                    [](int32_t, std::string_view text) {
//                      std::cout << text << std::flush;
//                      return true;
//                    });
//
// Thread safety and lifetimes are those of lfm.h.
#ifndef LFM_LFM_HPP
#define LFM_LFM_HPP

#include "lfm/lfm.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lfm {

/// A status other than LFM_OK, with the library's message.
class Error : public std::runtime_error {
public:
  Error(lfm_status status, const std::string &message)
      : std::runtime_error(message.empty() ? lfm_status_string(status)
                                           : message),
        code(status) {}
  lfm_status status() const { return code; }

private:
  lfm_status code;
};

inline void check(lfm_status status, const char *message = "") {
  if (status != LFM_OK)
    throw Error(status, message);
}

using Tokens = std::vector<int32_t>;

struct Message {
  std::string role, content;
};

/// A view of a model's tokenizer; copy freely, lives as long as the program.
class Tokenizer {
public:
  explicit Tokenizer(const lfm_tokenizer *tokenizer) : raw(tokenizer) {}
  const lfm_tokenizer *get() const { return raw; }
  explicit operator bool() const { return raw != nullptr; }

  /// By default as the checkpoint's own tokenizer does: BOS, special tokens.
  Tokens encode(std::string_view text,
                uint32_t flags = LFM_TOKENIZE_ADD_SPECIAL |
                                 LFM_TOKENIZE_PARSE_SPECIAL) const {
    Tokens tokens(text.size() + 16);
    size_t count = 0;
    check(lfm_tokenize(raw, text.data(), text.size(), flags, tokens.data(),
                       tokens.size(), &count));
    tokens.resize(count);
    return tokens;
  }

  std::string decode(const Tokens &tokens, uint32_t flags = 0) const {
    std::string text(16 + 8 * tokens.size(), '\0');
    size_t bytes = 0;
    lfm_status status = LFM_ERROR_BUFFER_TOO_SMALL;
    while ((status = lfm_detokenize(raw, tokens.data(), tokens.size(), flags,
                                    text.data(), text.size(), &bytes)) ==
           LFM_ERROR_BUFFER_TOO_SMALL)
      text.resize(bytes);
    check(status);
    text.resize(bytes);
    return text;
  }

  /// Tokens of a conversation; options.flags is LFM_CHAT_GENERATE if no options
  /// are given.
  Tokens chat(const std::vector<Message> &messages) const {
    lfm_chat_options options = {};
    options.flags = LFM_CHAT_GENERATE;
    return chat(messages, options);
  }
  Tokens chat(const std::vector<Message> &messages,
              const lfm_chat_options &options) const {
    std::vector<lfm_chat_message> list;
    for (const Message &message : messages)
      list.push_back({message.role.c_str(), message.content.c_str()});
    Tokens tokens(256);
    size_t count = 0;
    lfm_status status = LFM_OK;
    while ((status = lfm_chat_tokenize(raw, list.data(), list.size(), &options,
                                       tokens.data(), tokens.size(), &count)) ==
           LFM_ERROR_BUFFER_TOO_SMALL)
      tokens.resize(count);
    check(status);
    tokens.resize(count);
    return tokens;
  }

  int32_t find(std::string_view text) const {
    return lfm_token_find(raw, text.data(), text.size());
  }

private:
  const lfm_tokenizer *raw;
};

class Model {
public:
  Model(const lfm_program *program, const std::string &weightsPath,
        uint32_t flags = 0) {
    lfm_model_options options = {};
    options.flags = flags;
    lfm_model *model = nullptr;
    char message[256];
    check(lfm_model_open(program, weightsPath.c_str(), &options, &model,
                         message, sizeof message),
          message);
    raw.reset(model);
  }

  lfm_model *get() const { return raw.get(); }
  Tokenizer tokenizer() const {
    return Tokenizer(lfm_model_tokenizer(raw.get()));
  }
  lfm_model_info info() const {
    lfm_model_info info;
    check(lfm_model_get_info(raw.get(), &info));
    return info;
  }

private:
  struct Close {
    void operator()(lfm_model *model) const { lfm_model_close(model); }
  };
  std::unique_ptr<lfm_model, Close> raw;
};

class Session {
public:
  /// Called per token; return false to stop.
  using Callback = std::function<bool(int32_t token, std::string_view text)>;

  /// The session keeps the model's memory alive. threads 0: all processors.
  explicit Session(const Model &model, int32_t threads = 0)
      : Session(model, onThreads(threads)) {}
  Session(const Model &model, const lfm_session_options &options) {
    lfm_session *session = nullptr;
    char message[256];
    check(lfm_session_create(model.get(), &options, &session, message,
                             sizeof message),
          message);
    raw.reset(session);
    vocabSize = static_cast<size_t>(model.info().vocab_size);
  }

  lfm_session *get() const { return raw.get(); }
  int32_t position() const { return lfm_session_position(raw.get()); }
  void reset() { lfm_session_reset(raw.get()); }
  void cancel() { lfm_session_cancel(raw.get()); }
  void setThreads(int32_t threads) {
    check(lfm_session_set_threads(raw.get(), threads));
  }

  void prefill(const Tokens &tokens) {
    check(
        lfm_session_prefill(raw.get(), tokens.data(), tokens.size(), nullptr));
  }

  /// The logits after `token`; valid until the next call.
  const float *decode(int32_t token) {
    check(lfm_session_decode(raw.get(), token, nullptr));
    return lfm_session_last_logits(raw.get());
  }

  /// Logits of every position, [tokens.size()][vocab_size].
  std::vector<float> logits(const Tokens &tokens) {
    std::vector<float> all(tokens.size() * vocabSize);
    check(lfm_session_logits(raw.get(), tokens.data(), tokens.size(),
                             all.data()));
    return all;
  }

  std::vector<uint8_t> snapshot() {
    std::vector<uint8_t> blob(lfm_session_snapshot_size(raw.get()));
    check(lfm_session_snapshot_save(raw.get(), blob.data(), blob.size()));
    return blob;
  }
  void restore(const std::vector<uint8_t> &blob) {
    check(lfm_session_snapshot_load(raw.get(), blob.data(), blob.size()));
  }

  lfm_generate_result generate(const Tokens &prompt, const Callback &callback) {
    lfm_generate_params params;
    lfm_generate_params_default(&params);
    return generate(prompt, params, callback);
  }

  /// An exception of the callback stops the answer and comes out here.
  lfm_generate_result generate(const Tokens &prompt,
                               const lfm_generate_params &params,
                               const Callback &callback) {
    struct Call {
      const Callback &callback;
      std::exception_ptr thrown;
    } call{callback, nullptr};
    auto trampoline = [](void *user, int32_t token, const char *text,
                         size_t bytes) -> int {
      Call &c = *static_cast<Call *>(user);
      try {
        return !c.callback || c.callback(token, {text, bytes}) ? 0 : 1;
      } catch (...) {
        c.thrown = std::current_exception();
        return 1;
      }
    };
    lfm_generate_result result;
    lfm_status status = lfm_generate(raw.get(), prompt.data(), prompt.size(),
                                     &params, trampoline, &call, &result);
    if (call.thrown)
      std::rethrow_exception(call.thrown);
    check(status);
    return result;
  }

private:
  static lfm_session_options onThreads(int32_t threads) {
    lfm_session_options options = {};
    options.threads = threads;
    return options;
  }
  void check(lfm_status status) const {
    lfm::check(status, status == LFM_OK ? "" : lfm_session_message(raw.get()));
  }
  static void check(lfm_status status, const char *message) {
    lfm::check(status, message);
  }

  struct Destroy {
    void operator()(lfm_session *session) const {
      lfm_session_destroy(session);
    }
  };
  std::unique_ptr<lfm_session, Destroy> raw;
  size_t vocabSize = 0;
};

} // namespace lfm

#endif // LFM_LFM_HPP
