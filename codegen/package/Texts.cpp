// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Texts.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace lfmc {
namespace {

// Replaces each @KEY@ of `text`.
std::string fill(std::string text,
                 const std::vector<std::pair<std::string, std::string>> &keys) {
  for (const auto &[key, value] : keys) {
    std::string mark = "@" + key + "@";
    for (size_t at = text.find(mark); at != std::string::npos;
         at = text.find(mark, at + value.size()))
      text.replace(at, mark.size(), value);
  }
  return text;
}

const char header[] = R"(/* @NAME@.h, written by @COMPILER@ for @TARGET@.
 *
 * @MODEL@
 * A session holds up to @CONTEXT@ tokens.
 *
 * Link lib@NAME@.a (and pthread), ship @NAME@.weights beside your program;
 * lfm/lfm.h documents everything that can be done with an opened model.
 */
#ifndef LFMC_PACKAGE_@NAME@_H
#define LFMC_PACKAGE_@NAME@_H

#include "lfm/lfm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The compiled model: immutable, lives as long as the process. */
extern const struct lfm_program @NAME@_program;

/* Opens the model with its weights file, normally "@NAME@.weights". On failure
 * *model is null and `message` (of message_bytes, may be 0) says why. Release the
 * model with lfm_model_close(). */
static inline lfm_status @NAME@_open(const char *weights_path, lfm_model **model,
                                     char *message, size_t message_bytes) {
  return lfm_model_open(&@NAME@_program, weights_path, NULL, model, message,
                        message_bytes);
}

#ifdef __cplusplus
}
#endif
#endif /* LFMC_PACKAGE_@NAME@_H */
)";

const char npuHeader[] = R"(/* @NAME@.h, written by @COMPILER@ for @TARGET@.
 *
 * @MODEL@
 * A session holds up to @CONTEXT@ tokens.
 *
 * For code on the NPU: link lib@NAME@.a, or lib@NAME@.so and ship it; neither
 * calls anything outside itself. lfm/npu.h documents sessions. The weights are
 * in @NAME@.weights.
 */
#ifndef LFMC_PACKAGE_@NAME@_H
#define LFMC_PACKAGE_@NAME@_H

#include "lfm/npu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The compiled model: immutable. */
extern const lfm_program @NAME@_program;

/* Opens the model: `weights` are the whole of "@NAME@.weights", `memory` are
 * lfm_npu_session_bytes(&@NAME@_program), both aligned to LFM_NPU_ALIGNMENT. */
static inline lfm_npu_status @NAME@_open(lfm_npu *npu, const uint8_t *weights,
                                         void *memory) {
  return lfm_npu_open(npu, &@NAME@_program, weights, memory);
}

#ifdef __cplusplus
}
#endif
#endif /* LFMC_PACKAGE_@NAME@_H */
)";

const char example[] =
    R"(// Streams an answer. In this folder: c++ main.cpp -I. -L. -l@NAME@ -lpthread
#include "@NAME@.h"

#include <stdio.h>
#include <string.h>
#include <vector>

static int print(void *, int32_t, const char *text, size_t bytes) {
  fwrite(text, 1, bytes, stdout);
  return fflush(stdout);
}

int main(int argc, char **argv) {
  const char *prompt = argc > 1 ? argv[1] : "Tell me about the sea.";
  char message[256] = "";
  lfm_model *model = NULL;
  lfm_session *session = NULL;
  if (@NAME@_open("@NAME@.weights", &model, message, sizeof message) != LFM_OK ||
      lfm_session_create(model, NULL, &session, message, sizeof message) != LFM_OK)
    return fprintf(stderr, "%s\n", message), 1;
@TOKENIZE@
  lfm_status status = lfm_generate(session, tokens.data(), count, NULL, print, NULL, NULL);
  puts(status == LFM_OK ? "" : lfm_session_message(session));
  lfm_session_destroy(session);
  lfm_model_close(model);
  return status != LFM_OK;
}
)";

const char tokenizeChat[] = R"(
  const lfm_tokenizer *tokenizer = lfm_model_tokenizer(model);
  lfm_chat_message turn = {"user", prompt};
  lfm_chat_options options = {};
  options.flags = LFM_CHAT_GENERATE;
  std::vector<int32_t> tokens(strlen(prompt) + 64);
  size_t count = 0;
  lfm_chat_tokenize(tokenizer, &turn, 1, &options, tokens.data(), tokens.size(), &count);)";

const char tokenizePlain[] = R"(
  const lfm_tokenizer *tokenizer = lfm_model_tokenizer(model);
  std::vector<int32_t> tokens(strlen(prompt) + 16);
  size_t count = 0;
  lfm_tokenize(tokenizer, prompt, strlen(prompt), LFM_TOKENIZE_ADD_SPECIAL, tokens.data(),
               tokens.size(), &count);)";

const char tokenizeNone[] = R"(
  // The checkpoint has no tokenizer: the prompt is a list of token ids.
  std::vector<int32_t> tokens;
  for (int id, used; sscanf(prompt, "%d%n", &id, &used) == 1; prompt += used)
    tokens.push_back(id);
  size_t count = tokens.size();)";

const char cmakeConfig[] =
    R"(# find_package(@NAME@), target @NAME@::@NAME@. Written by @COMPILER@.
# @NAME@_WEIGHTS is the path of the weights file, to be shipped with the program.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
get_filename_component(@NAME@_ROOT "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(@NAME@_WEIGHTS "${@NAME@_ROOT}/@NAME@.weights")
@RUNTIME@if(NOT TARGET @NAME@::@NAME@)
  add_library(@NAME@::@NAME@ STATIC IMPORTED)
  set_target_properties(@NAME@::@NAME@ PROPERTIES
    IMPORTED_LOCATION "${@NAME@_ROOT}/lib@NAME@.a"
    INTERFACE_INCLUDE_DIRECTORIES "${@NAME@_ROOT}"
    INTERFACE_LINK_LIBRARIES "@LIBRARIES@"@OPTIONS@)
endif()
)";

// The NDK's linker aligns for pages of 4 KB before version 28.
const char androidOptions[] = R"(
    INTERFACE_LINK_OPTIONS "LINKER:-z,max-page-size=16384")";

const char runtimeSubdirectory[] =
    R"(if(NOT TARGET lfm_runtime) # several models share one
  add_subdirectory("${@NAME@_ROOT}/runtime" lfm_runtime)
endif()
)";

const char cmakeVersion[] = R"(set(PACKAGE_VERSION "@VERSION@")
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
if(NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
)";

const char pkgConfig[] = R"(prefix=${pcfiledir}/../..

Name: @NAME@
Description: @MODEL@
Version: @VERSION@
Cflags: -I${prefix}
Libs: -L${prefix} -l@NAME@ -lpthread -lm
weights=${prefix}/@NAME@.weights
)";

} // namespace

std::string filledText(const char *text, const PackageFacts &facts) {
  return fill(text, {{"NAME", facts.name},
                     {"MODEL", facts.model},
                     {"COMPILER", facts.compiler},
                     {"VERSION", facts.version},
                     {"TARGET", facts.target},
                     {"ARCH", facts.arch},
                     {"CONTEXT", std::to_string(facts.maxContext)},
                     {"VTCM", std::to_string(facts.vtcmBytes)}});
}

std::string headerText(const PackageFacts &facts) {
  return filledText(header, facts);
}

std::string npuHeaderText(const PackageFacts &facts) {
  return filledText(npuHeader, facts);
}

std::string exampleText(const PackageFacts &facts) {
  const char *tokenize = facts.hasChatTemplate ? tokenizeChat
                         : facts.hasTokenizer  ? tokenizePlain
                                               : tokenizeNone;
  return filledText(fill(example, {{"TOKENIZE", tokenize}}).c_str(), facts);
}

std::string cmakeConfigText(const PackageFacts &facts) {
  bool sources = facts.runtimeSources;
  return filledText(
      fill(cmakeConfig,
           {{"RUNTIME", sources ? runtimeSubdirectory : ""},
            {"LIBRARIES", sources ? "lfm_runtime" : "Threads::Threads;m"},
            {"OPTIONS", facts.android ? androidOptions : ""}})
          .c_str(),
      facts);
}

std::string cmakeVersionText(const PackageFacts &facts) {
  return filledText(cmakeVersion, facts);
}

std::string pkgConfigText(const PackageFacts &facts) {
  return filledText(pkgConfig, facts);
}

static bool isLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool isDigit(char c) { return c >= '0' && c <= '9'; }

bool isPackageName(const std::string &name) {
  return !name.empty() && name.size() <= 64 && isLetter(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return isLetter(c) || isDigit(c); });
}

std::string packageName(const std::string &text) {
  std::string name;
  for (char c : text.substr(0, 60))
    name += isLetter(c) || isDigit(c) ? c : '_';
  if (name.empty() || !isLetter(name[0]))
    name = "lfm_" + name;
  return name;
}

} // namespace lfmc
