// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Evaluation.h"

#include "frontend/Errors.h"
#include "tools/lfmc/Progress.h"

#include "llvm/Support/Parallel.h"

#include <cmath>

using namespace llvm;

namespace lfmc::cli {

Error LogitReader::open(const Model &from, int threads, int64_t rows) {
  Expected<Session> created = createSession(from, threads);
  if (!created)
    return created.takeError();
  model = &from;
  session = std::move(*created);
  // The runtime writes rows in place, many at a time, if they are aligned.
  logits.reset(static_cast<float *>(std::aligned_alloc(
      64, alignTo(size_t(rows) * vocab() * sizeof(float), 64))));
  if (!logits)
    return makeError("no memory for {} rows of {} logits", rows, vocab());
  return Error::success();
}

Error LogitReader::read(ArrayRef<int32_t> tokens) {
  return session.check(lfm_session_logits(session.get(), tokens.data(),
                                          tokens.size(), logits.get()));
}

namespace {

Error checkReference(const Model &model, const Model &reference,
                     ArrayRef<int32_t> ids, StringRef text, StringRef name) {
  if (reference.info.vocab_size != model.info.vocab_size)
    return makeError(
        "the reference {} has a vocabulary of {} tokens, {} has {}",
        reference.info.name, reference.info.vocab_size, model.info.name,
        model.info.vocab_size);
  Expected<std::vector<int32_t>> others = reference.tokenize(text, 0);
  if (!others)
    return others.takeError();
  if (ArrayRef<int32_t>(*others) != ids || reference.info.bos != model.info.bos)
    return makeError("the reference {} and {} have different tokens for {}",
                     reference.info.name, model.info.name, name);
  return Error::success();
}

// Of one scored token.
struct Score {
  double nll = 0, referenceNll = 0;
  Divergence divergence;
};

Error scorePiece(LogitReader &model, LogitReader *reference,
                 ArrayRef<int32_t> tokens, ArrayRef<int32_t> wanted, int64_t at,
                 const TopK &topK, Evaluation &result) {
  for (LogitReader *reader : {reference, &model})
    if (reader)
      if (Error error = reader->read(tokens))
        return error;
  std::vector<Score> scores(wanted.size());
  parallelFor(0, wanted.size(), [&](size_t i) {
    scores[i].nll = negativeLogLikelihood(model.row(i), wanted[i]);
    if (!reference)
      return;
    scores[i].referenceNll =
        negativeLogLikelihood(reference->row(i), wanted[i]);
    scores[i].divergence = divergence(reference->row(i), model.row(i), topK);
  });
  for (const Score &score : scores) {
    int64_t place = at + (&score - scores.data());
    if (!std::isfinite(score.nll))
      return makeError("{}: the logits of position {} are not finite",
                       model.name(), place);
    if (!std::isfinite(score.referenceNll))
      return makeError("{}: the logits of position {} are not finite",
                       reference->name(), place);
    if (std::isnan(score.divergence.kld))
      return makeError("{} or {}: a logit of position {} is not finite",
                       model.name(), reference->name(), place);
    result.nll += score.nll;
    result.referenceNll += score.referenceNll;
    if (reference)
      result.divergence.add(score.divergence);
  }
  return Error::success();
}

} // namespace

Expected<Evaluation> evaluateRuns(const Model &model, const Model *reference,
                                  ArrayRef<std::vector<int32_t>> runs,
                                  const EvaluationOptions &options) {
  int64_t longest = 0;
  for (const std::vector<int32_t> &run : runs)
    longest = std::max(longest, int64_t(run.size()) - 1);
  int64_t rows = std::min<int64_t>(model.info.max_prefill, longest);
  LogitReader reader, referenceReader;
  for (auto [which, into] :
       {std::pair{&model, &reader}, std::pair{reference, &referenceReader}}) {
    if (!which)
      continue;
    if (longest > which->info.max_context)
      return makeError("{}: runs of {} tokens do not fit the context of {}",
                       which->info.name, longest, which->info.max_context);
    if (Error error = into->open(*which, options.threads, rows))
      return error;
  }
  Evaluation result;
  result.runs = int64_t(runs.size());
  parallel::strategy = hardware_concurrency(unsigned(options.threads));
  Progress progress;
  for (size_t run = 0; run < runs.size(); ++run) {
    progress.update("runs", run, runs.size());
    ArrayRef<int32_t> all(runs[run]);
    reader.restart();
    if (reference)
      referenceReader.restart();
    // The last token is predicted, not read.
    const int64_t length = int64_t(all.size()) - 1;
    for (int64_t at = 0; at < length; at += rows) {
      size_t n = size_t(std::min(rows, length - at));
      if (Error error = scorePiece(
              reader, reference ? &referenceReader : nullptr, all.slice(at, n),
              all.slice(at + 1, n), result.tokens + at, options.topK, result))
        return error;
    }
    result.tokens += length;
  }
  result.nll /= double(result.tokens);
  result.referenceNll /= double(result.tokens);
  return result;
}

Expected<Evaluation> evaluateText(const Model &model, const Model *reference,
                                  StringRef text, StringRef name,
                                  const EvaluationOptions &options) {
  Expected<std::vector<int32_t>> ids = model.tokenize(text, 0);
  if (!ids)
    return ids.takeError();
  if (model.info.bos < 0)
    return makeError("the model has no token that begins a text (bos)");
  if (reference)
    if (Error error = checkReference(model, *reference, *ids, text, name))
      return error;
  int64_t length = options.length, count = int64_t(ids->size()) / length;
  if (options.runs)
    count = std::min(options.runs, count);
  if (count == 0)
    return makeError("{} has {} tokens, too few for a run of {}", name,
                     ids->size(), length);
  std::vector<std::vector<int32_t>> runs(count, {model.info.bos});
  for (int64_t run = 0; run < count; ++run) {
    auto begin = ids->begin() + run * length;
    runs[run].insert(runs[run].end(), begin, begin + length);
  }
  return evaluateRuns(model, reference, runs, options);
}

Json Evaluation::json(const Model *reference) const {
  Json json = {{"perplexity", std::exp(nll)},
               {"nll", nll},
               {"tokens", tokens},
               {"runs", runs}};
  if (!reference)
    return json;
  json["kld_mean"] = divergence.kldMean();
  json["kld_se"] = divergence.kldStandardError();
  for (int percent : {50, 90, 95, 99})
    json["kld_percentiles"][std::to_string(percent)] =
        divergence.kldPercentile(percent);
  json["kld_percentiles"]["max"] = divergence.kldPercentile(100);
  json["same_top1"] = divergence.sameTopShare();
  json["topk_kl"] = divergence.topKMean();
  json["reference"] = {{"name", reference->info.name},
                       {"perplexity", std::exp(referenceNll)},
                       {"nll", referenceNll}};
  return json;
}

} // namespace lfmc::cli
