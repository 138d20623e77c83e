// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/OwnText.h"

#include "frontend/Errors.h"

#include "llvm/Support/Parallel.h"

#include <mutex>

using namespace llvm;

namespace lfmc::cli {

using Tokens = std::vector<int32_t>;

static Error write(const Model &model, int64_t length, uint64_t seed,
                   Tokens &tokens) {
  tokens = {std::max(model.info.bos, 0)};
  Expected<Session> session = createSession(model, /*threads=*/1);
  if (!session)
    return session.takeError();
  if (length < 2)
    return Error::success();
  lfm_generate_params params;
  lfm_generate_params_default(&params);
  params.sampling = {/*temperature=*/1,
                     /*top_k=*/0,
                     /*top_p=*/0,
                     /*min_p=*/0,
                     /*repetition_penalty=*/0,
                     seed};
  params.max_tokens = int32_t(length - 1);
  params.flags = LFM_GENERATE_IGNORE_EOS;
  auto keep = [](void *user, int32_t token, const char *, size_t) {
    if (token >= 0)
      static_cast<Tokens *>(user)->push_back(token);
    return 0;
  };
  return session->check(lfm_generate(session->get(), &tokens[0], 1, &params,
                                     keep, &tokens, nullptr));
}

Expected<std::vector<Tokens>>
writeOwnText(const Model &model, int64_t count, int64_t length,
             uint64_t firstSeed,
             function_ref<void(uint64_t, uint64_t)> progress) {
  std::vector<Tokens> sequences(count);
  std::mutex mutex;
  std::string failure;
  uint64_t done = 0;
  parallelFor(0, sequences.size(), [&](size_t i) {
    Error error = write(model, length, firstSeed + i, sequences[i]);
    std::lock_guard lock(mutex);
    if (error && failure.empty())
      failure = toString(std::move(error));
    else
      consumeError(std::move(error));
    progress(++done, sequences.size());
  });
  if (!failure.empty())
    return makeError("{}", failure);
  return sequences;
}

} // namespace lfmc::cli
