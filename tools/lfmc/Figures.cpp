// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Figures.h"

#include "codegen/reference/CheckpointWeights.h"
#include "codegen/reference/ReferenceModel.h"
#include "frontend/Errors.h"
#include "tools/lfmc/Evaluation.h"
#include "tools/lfmc/OwnText.h"
#include "tools/lfmc/Progress.h"

#include <cmath>

using namespace llvm;

namespace lfmc::cli {
namespace {

using Tokens = std::vector<int32_t>;
constexpr int64_t runs = 4, longest = 257, compared = 32, executed = 16;
constexpr uint64_t firstSeed = 1000; // calibration counts from 0
// Of the largest logit. A rounded activation on the boundary of two codes may
// take the other one, which is no error; a wrong kernel is off by more.
constexpr double tolerance = 1e-3, roundedTolerance = 0.05;
// The same for a prompt against its tokens one by one: weights rewritten for it
// (docs/kernels.md) are a tenth off in models of random weights.
constexpr double promptTolerance = 0.5;

// Logits [tokens][vocabulary], read at once or one by one.
Expected<std::vector<float>> logitsOf(const Model &model,
                                      ArrayRef<int32_t> tokens, bool decode) {
  Expected<Session> session = createSession(model, 0);
  if (!session)
    return session.takeError();
  std::vector<float> logits(tokens.size() * model.info.vocab_size);
  if (!decode) {
    if (Error error = session->check(lfm_session_logits(
            session->get(), tokens.data(), tokens.size(), logits.data())))
      return error;
    return logits;
  }
  for (size_t i = 0; i < tokens.size(); ++i)
    if (Error error = session->check(
            lfm_session_decode(session->get(), tokens[i],
                               logits.data() + i * model.info.vocab_size)))
      return error;
  return logits;
}

double largestDifference(ArrayRef<float> a, ArrayRef<float> b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    double difference = std::fabs(double(a[i]) - b[i]);
    if (!(difference <= largest)) // NaN, too
      largest = difference;
  }
  return largest;
}

// The same module on the reference executor.
Expected<std::vector<float>> executorLogits(const CompileOptions &options,
                                            ArrayRef<int32_t> tokens) {
  CompileOptions quiet = options;
  quiet.remark = nullptr;
  auto compilation = Compilation::open(quiet);
  if (!compilation)
    return compilation.takeError();
  if (Error error = (*compilation)->optimise())
    return error;
  auto model = ReferenceModel::create(
      (*compilation)->ir(),
      [&](lfm2::WeightOp weight, MutableArrayRef<float> values) {
        return readCheckpointWeight((*compilation)->source(), weight, values,
                                    options.quantizer);
      });
  if (!model)
    return model.takeError();
  Expected<HostTensor> hidden = (*model)->prefill(tokens);
  if (!hidden)
    return hidden.takeError();
  Expected<HostTensor> logits = (*model)->head(*hidden);
  if (!logits)
    return logits.takeError();
  return logits->toFloats();
}

} // namespace

Expected<Json> measureFigures(const std::string &directory,
                              const std::string &checkpoint,
                              const CompileFlags &flags,
                              const CompileOptions &options, bool exact) {
  Expected<Model> model = openModel(directory);
  if (!model)
    return model.takeError();
  CompileFlags plain = flags;
  plain.target = "host";
  plain.isa.clear();
  plain.weights.clear();
  plain.quant.clear();
  plain.kvCache.clear();
  plain.activations = "f32";
  plain.calibrate = "none";
  plain.quantizer.clear();
  Expected<std::string> original = packageOf(checkpoint, plain);
  if (!original)
    return original.takeError();
  Expected<Model> reference = openModel(*original);
  if (!reference)
    return reference.takeError();
  Progress progress;
  int64_t length = std::min<int64_t>(longest, model->info.max_context);
  Expected<std::vector<Tokens>> text = writeOwnText(
      *reference, runs, length, firstSeed, [&](uint64_t done, uint64_t total) {
        progress.update("verifying: writing", done, total);
      });
  if (!text)
    return text.takeError();
  bool quantized = !flags.quant.empty();
  Expected<Evaluation> evaluation =
      evaluateRuns(*model, quantized ? &*reference : nullptr, *text, {});
  if (!evaluation)
    return evaluation.takeError();
  Json figures = evaluation->json(quantized ? &*reference : nullptr);

  ArrayRef<int32_t> few = (*text)[0];
  few = few.take_front(compared);
  Expected<std::vector<float>> whole = logitsOf(*model, few, false);
  if (!whole)
    return whole.takeError();
  Expected<std::vector<float>> single = logitsOf(*model, few, true);
  if (!single)
    return single.takeError();
  auto sizeOf = [](const std::vector<float> &logits) {
    return std::max(
        largestDifference(logits, std::vector<float>(logits.size())), 1e-30);
  };
  const double apart = largestDifference(*whole, *single);
  figures["decode_minus_prefill"] = apart;
  if (!(apart <= promptTolerance * sizeOf(*single)))
    return makeError("a prompt differs from its tokens one by one: expected "
                     "logits within {:g} of the largest, found {:g}",
                     promptTolerance, apart / sizeOf(*single));
  if (!exact)
    return figures;
  few = few.take_front(executed); // too few to rewrite weights for
  Expected<std::vector<float>> found = logitsOf(*model, few, false);
  if (!found)
    return found.takeError();
  progress.update("verifying: reference executor", 0, 1);
  Expected<std::vector<float>> wanted = executorLogits(options, few);
  if (!wanted)
    return wanted.takeError();
  const double error = largestDifference(*found, *wanted) / sizeOf(*wanted);
  figures["executor_error"] = error;
  figures["executor_tokens"] = few.size();
  const double allowed = quantized ? roundedTolerance : tolerance;
  if (!(error <= allowed))
    return makeError(
        "the package differs from the reference executor: expected "
        "logits within {:g} of the largest, found {:g}",
        allowed, error);
  return figures;
}

} // namespace lfmc::cli
