// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TESTS_RUNTIME_SESSIONFIXTURE_H
#define LFMC_TESTS_RUNTIME_SESSIONFIXTURE_H

#include "FakeProgram.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

using Ids = std::vector<int32_t>;

struct SessionDeleter {
  void operator()(lfm_session *s) const { lfm_session_destroy(s); }
  void operator()(lfm_model *m) const { lfm_model_close(m); }
};
using Session = std::unique_ptr<lfm_session, SessionDeleter>;
using Model = std::unique_ptr<lfm_model, SessionDeleter>;

/// A directory with the fake model's weights; the model is opened on demand.
class SessionTest : public testing::Test {
protected:
  SessionTest() {
    std::string name =
        (std::filesystem::temp_directory_path() / "lfm-test-XXXXXX").string();
    dir = mkdtemp(name.data());
    weights = dir + "/fake.weights";
    fake::writeWeights(weights);
    fake::script.clear();
  }
  ~SessionTest() override { std::filesystem::remove_all(dir); }

  Model open(const lfm_program &program, uint32_t flags = 0,
             uint32_t expertMib = 0, lfm_status wanted = LFM_OK) {
    lfm_model *model = nullptr;
    lfm_model_options options = {};
    options.flags = flags;
    options.expert_mib = expertMib;
    char message[256] = "";
    EXPECT_EQ(lfm_model_open(&program, weights.c_str(), &options, &model,
                             message, sizeof message),
              wanted)
        << message;
    return Model(model);
  }

  Session start(const Model &model, int32_t threads = 2) {
    lfm_session *session = nullptr;
    lfm_session_options options = {};
    options.threads = threads;
    char message[256] = "";
    EXPECT_EQ(lfm_session_create(model.get(), &options, &session, message,
                                 sizeof message),
              LFM_OK)
        << message;
    return Session(session);
  }

  /// Some tokens that are no end tokens.
  static Ids prompt(size_t n) {
    Ids ids;
    for (size_t i = 0; i < n; ++i)
      ids.push_back(static_cast<int32_t>(10 + i * 17 % 53));
    return ids;
  }

  /// The reference's logits after each of `ids`.
  static std::vector<std::vector<float>> expected(const Ids &ids,
                                                  int32_t vocab = 64) {
    fake::Reference reference(vocab);
    std::vector<std::vector<float>> rows;
    for (int32_t id : ids)
      rows.push_back(reference.read(id));
    return rows;
  }

  std::string dir, weights;
  lfm_program program = fake::makeProgram();
};

#endif // LFMC_TESTS_RUNTIME_SESSIONFIXTURE_H
