// SPDX-License-Identifier: Apache-2.0
//
// A tokenizer compiled from a checkpoint directory, and short forms of the C
// functions for tests.
#ifndef LFMC_TESTS_RUNTIME_TOKENIZERFIXTURE_H
#define LFMC_TESTS_RUNTIME_TOKENIZERFIXTURE_H

#include "frontend/Tokenizer.h"
#include "lfm/text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

inline std::string dataPath(const std::string &name) {
  return std::string(LFMC_TEST_DATA) + "/" + name;
}

inline nlohmann::json readJson(const std::string &path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  return nlohmann::json::parse(file);
}

/// A directory that is removed at the end.
struct TemporaryDir {
  std::string path;
  TemporaryDir() {
    std::string name =
        (std::filesystem::temp_directory_path() / "lfmc-test-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~TemporaryDir() { std::filesystem::remove_all(path); }
  void write(const std::string &name, const std::string &text) const {
    std::ofstream(path + "/" + name, std::ios::binary) << text;
  }
};

using Ids = std::vector<int32_t>;

struct CompiledTokenizer {
  std::vector<uint8_t> block;
  const lfm_tokenizer *tokenizer = nullptr;

  explicit CompiledTokenizer(const std::string &dir, int64_t vocab = 4096) {
    auto compiled = lfmc::compileTokenizer(dir, vocab);
    if (!compiled) {
      ADD_FAILURE() << llvm::toString(compiled.takeError());
      return;
    }
    block = std::move(*compiled);
    EXPECT_EQ(lfm_tokenizer_open(block.data(), block.size(), &tokenizer),
              LFM_OK);
  }

  Ids encode(const std::string &text,
             uint32_t flags = LFM_TOKENIZE_PARSE_SPECIAL) const {
    Ids ids(text.size() + 16);
    size_t count = 0;
    EXPECT_EQ(lfm_tokenize(tokenizer, text.data(), text.size(), flags,
                           ids.data(), ids.size(), &count),
              LFM_OK);
    ids.resize(count);
    return ids;
  }

  std::string decode(const Ids &ids, uint32_t flags = 0) const {
    size_t bytes = 0;
    lfm_detokenize(tokenizer, ids.data(), ids.size(), flags, nullptr, 0,
                   &bytes);
    std::string text(bytes, '?');
    EXPECT_EQ(lfm_detokenize(tokenizer, ids.data(), ids.size(), flags,
                             text.data(), text.size(), &bytes),
              LFM_OK);
    return text;
  }

  /// The same through the streaming decoder, token by token.
  std::string decodeStream(const Ids &ids, uint32_t flags = 0) const {
    lfm_decoder decoder = {};
    std::string text, piece(lfm_tokenizer_max_text(tokenizer), '?');
    for (int32_t id : ids) {
      size_t bytes = 0;
      EXPECT_EQ(lfm_decode_token(tokenizer, &decoder, id, flags, piece.data(),
                                 piece.size(), &bytes),
                LFM_OK);
      text += piece.substr(0, bytes);
    }
    char rest[3];
    return text.append(rest, lfm_decode_finish(&decoder, rest));
  }
};

#endif // LFMC_TESTS_RUNTIME_TOKENIZERFIXTURE_H
