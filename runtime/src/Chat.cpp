// SPDX-License-Identifier: Apache-2.0
#include "Tokenizer.h"

#include <cstring>

using namespace lfm_rt;

namespace {

/// A text that is only measured, or also written; remembers which parts came
/// from the messages.
class ChatText {
public:
  ChatText(char *text, size_t capacity, Span *spans)
      : text(text), capacity(capacity), spans(spans) {}

  void marker(const char *p) { append(p, std::strlen(p)); }
  void marker(const uint8_t *p, size_t n) {
    append(reinterpret_cast<const char *>(p), n);
  }
  void content(const char *p, size_t n) {
    size_t begin = count;
    append(p, n);
    if (spans && n)
      spans[spanCount++] = {begin, count};
  }
  void content(const char *p) { content(p, std::strlen(p)); }

  size_t count = 0, spanCount = 0;

private:
  void append(const char *p, size_t n) {
    if (count < capacity)
      std::memcpy(text + count, p, n < capacity - count ? n : capacity - count);
    count += n;
  }

  char *text;
  size_t capacity;
  Span *spans;
};

constexpr uint32_t kLfm2 = LFM_CHAT_HAS_CHATML | LFM_CHAT_HAS_BOS |
                           LFM_CHAT_MERGES_SYSTEM | LFM_CHAT_TOOL_MARKERS |
                           LFM_CHAT_TOOL_RESPONSE;
constexpr uint32_t kLfm25 = LFM_CHAT_HAS_CHATML | LFM_CHAT_HAS_BOS |
                            LFM_CHAT_MERGES_SYSTEM | LFM_CHAT_STRIPS_THINK |
                            LFM_CHAT_STRIPS_BUT_LAST;

bool is(const lfm_chat_message &message, const char *role) {
  return std::strcmp(message.role, role) == 0;
}

bool isBlank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

/// What follows the last </think>, without white space around it.
void strippedAnswer(const char *&p, size_t &n) {
  constexpr char kEnd[] = "</think>";
  constexpr size_t kEndBytes = sizeof kEnd - 1;
  for (size_t at = n; at-- > 0;) {
    if (n - at < kEndBytes || std::memcmp(p + at, kEnd, kEndBytes) != 0)
      continue;
    p += at + kEndBytes;
    n -= at + kEndBytes;
    while (n && isBlank(p[0])) {
      ++p;
      --n;
    }
    while (n && isBlank(p[n - 1]))
      --n;
    return;
  }
}

void writeTools(ChatText &out, const lfm_chat_options &options, uint32_t rules,
                bool afterText) {
  if (afterText)
    out.marker(rules & LFM_CHAT_TOOL_PARAGRAPH ? "\n\n" : "\n");
  if ((rules & LFM_CHAT_TOOL_DATE) && options.date) {
    out.marker("Today's date: ");
    out.content(options.date);
    out.marker("\n\n");
  }
  out.marker(rules & LFM_CHAT_TOOL_MARKERS
                 ? "List of tools: <|tool_list_start|>["
                 : "List of tools: [");
  for (size_t i = 0; i < options.tool_count; ++i) {
    if (i)
      out.marker(", ");
    out.content(options.tools[i]);
  }
  out.marker(rules & LFM_CHAT_TOOL_MARKERS ? "]<|tool_list_end|>" : "]");
}

/// Whether the template takes the thoughts out of answer `i`.
bool stripsThink(const lfm_chat_message *messages, size_t n, size_t i,
                 uint32_t rules, uint32_t flags) {
  if (!(rules & LFM_CHAT_STRIPS_THINK) || (flags & LFM_CHAT_KEEP_THINKING) ||
      !is(messages[i], "assistant"))
    return false;
  const char *later = rules & LFM_CHAT_STRIPS_BUT_LAST ? "assistant" : "user";
  for (size_t k = i + 1; k < n; ++k)
    if (is(messages[k], later))
      return true;
  return false;
}

void writeChat(ChatText &out, const lfm_tokenizer &tokenizer, uint32_t rules,
               const lfm_chat_message *messages, size_t n,
               const lfm_chat_options &options) {
  int32_t bos = tokenizer.header.bos;
  if ((rules & LFM_CHAT_HAS_BOS) && tokenizer.known(bos) &&
      !(options.flags & LFM_CHAT_NO_BOS)) {
    size_t bytes;
    const uint8_t *text = tokenizer.text(bos, bytes);
    out.marker(text, bytes);
  }
  size_t first = 0;
  bool hasSystem = n && is(messages[0], "system");
  bool systemText = hasSystem && messages[0].content[0];
  if (options.tool_count || (rules & LFM_CHAT_MERGES_SYSTEM)) {
    if (systemText || options.tool_count) {
      out.marker("<|im_start|>system\n");
      if (systemText)
        out.content(messages[0].content);
      if (options.tool_count)
        writeTools(out, options, rules, systemText);
      out.marker("<|im_end|>\n");
    }
    first = hasSystem;
  }
  for (size_t i = first; i < n; ++i) {
    out.marker("<|im_start|>");
    out.content(messages[i].role);
    out.marker("\n");
    const char *content = messages[i].content;
    size_t bytes = std::strlen(content);
    if (stripsThink(messages, n, i, rules, options.flags))
      strippedAnswer(content, bytes);
    bool response = (rules & LFM_CHAT_TOOL_RESPONSE) && is(messages[i], "tool");
    if (response)
      out.marker("<|tool_response_start|>");
    out.content(content, bytes);
    out.marker(response ? "<|tool_response_end|><|im_end|>\n" : "<|im_end|>\n");
  }
  if (options.flags & LFM_CHAT_GENERATE)
    out.marker(rules & LFM_CHAT_THINK_PROMPT ? "<|im_start|>assistant\n<think>"
                                             : "<|im_start|>assistant\n");
}

lfm_status checkChat(const lfm_tokenizer *tokenizer,
                     const lfm_chat_message *messages, size_t n,
                     const lfm_chat_options &options, uint32_t &rules) {
  constexpr uint32_t kFlags = LFM_CHAT_GENERATE | LFM_CHAT_KEEP_THINKING |
                              LFM_CHAT_PARSE_CONTENT | LFM_CHAT_NO_BOS;
  if (!tokenizer || (!messages && n) || (options.flags & ~kFlags) ||
      (!options.tools && options.tool_count))
    return LFM_ERROR_INVALID_ARGUMENT;
  for (size_t i = 0; i < n; ++i)
    if (!messages[i].role || !messages[i].content)
      return LFM_ERROR_INVALID_ARGUMENT;
  for (size_t i = 0; i < options.tool_count; ++i)
    if (!options.tools[i])
      return LFM_ERROR_INVALID_ARGUMENT;
  switch (options.chat_template) {
  case LFM_CHAT_TEMPLATE_MODEL:
    rules = tokenizer->header.chat;
    return rules ? LFM_OK : LFM_ERROR_NO_CHAT_TEMPLATE;
  case LFM_CHAT_TEMPLATE_LFM2:
    rules = kLfm2;
    return LFM_OK;
  case LFM_CHAT_TEMPLATE_LFM2_5:
    rules = kLfm25;
    return LFM_OK;
  }
  return LFM_ERROR_INVALID_ARGUMENT;
}

} // namespace

lfm_status lfm_chat_format(const lfm_tokenizer *tokenizer,
                           const lfm_chat_message *messages, size_t n,
                           const lfm_chat_options *options, char *text,
                           size_t capacity, size_t *bytes) {
  lfm_chat_options chosen = options ? *options : lfm_chat_options();
  uint32_t rules = 0;
  if (!bytes || (!text && capacity))
    return LFM_ERROR_INVALID_ARGUMENT;
  if (lfm_status bad = checkChat(tokenizer, messages, n, chosen, rules))
    return bad;
  ChatText out(text, capacity, nullptr);
  writeChat(out, *tokenizer, rules, messages, n, chosen);
  *bytes = out.count;
  if (out.count > capacity)
    return LFM_ERROR_BUFFER_TOO_SMALL;
  if (out.count < capacity)
    text[out.count] = 0;
  return LFM_OK;
}

lfm_status lfm_chat_tokenize(const lfm_tokenizer *tokenizer,
                             const lfm_chat_message *messages, size_t n,
                             const lfm_chat_options *options, int32_t *tokens,
                             size_t capacity, size_t *count) {
  lfm_chat_options chosen = options ? *options : lfm_chat_options();
  uint32_t rules = 0;
  if (!count || (!tokens && capacity))
    return LFM_ERROR_INVALID_ARGUMENT;
  if (lfm_status bad = checkChat(tokenizer, messages, n, chosen, rules))
    return bad;
  ChatText measured(nullptr, 0, nullptr);
  writeChat(measured, *tokenizer, rules, messages, n, chosen);
  Buffer<char> text;
  Buffer<Span> spans;
  // Role and content of each message, the tools, the date.
  if (!text.reserve(measured.count + 1) ||
      !spans.reserve(2 * n + chosen.tool_count + 1))
    return LFM_ERROR_OUT_OF_MEMORY;
  ChatText out(text.data(), measured.count, spans.data());
  writeChat(out, *tokenizer, rules, messages, n, chosen);
  size_t plain = chosen.flags & LFM_CHAT_PARSE_CONTENT ? 0 : out.spanCount;
  TokenSink sink{tokens, capacity};
  lfm_status status = tokenize(
      *tokenizer, reinterpret_cast<const uint8_t *>(text.data()), out.count,
      LFM_TOKENIZE_PARSE_SPECIAL, spans.data(), plain, sink);
  *count = sink.count;
  return status;
}
