// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Bench.h"

#include "frontend/Errors.h"
#include "tools/lfmc/Progress.h"
#include "tools/lfmc/Recorder.h"

#include "llvm/Support/MemoryBuffer.h"

#include <random>

using namespace llvm;

namespace lfmc::cli {
namespace {

// A field of /proc/self/status in bytes; 0 where there is none.
uint64_t statusBytes(StringRef field) {
  auto file = MemoryBuffer::getFileAsStream("/proc/self/status");
  if (!file)
    return 0;
  uint64_t kilobytes = 0;
  StringRef text = (*file)->getBuffer();
  size_t at = text.find(("\n" + field + ":").str());
  if (at == StringRef::npos)
    return 0;
  text = text.drop_front(at + field.size() + 2).ltrim();
  text.consumeInteger(10, kilobytes);
  return kilobytes * 1024;
}

// Tokens that are read before decoding and steps are timed: the caches of the
// processor then hold what they hold while a text is written.
constexpr int64_t warmUp = 1;

} // namespace

double Samples::median() const {
  std::vector<double> sorted = values;
  llvm::sort(sorted);
  size_t n = sorted.size();
  return n == 0  ? 0
         : n % 2 ? sorted[n / 2]
                 : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double Samples::lowest() const {
  return values.empty() ? 0 : *llvm::min_element(values);
}

double Samples::highest() const {
  return values.empty() ? 0 : *llvm::max_element(values);
}

Error Bench::open(const std::string &package) {
  baseAnonymous = statusBytes("RssAnon");
  Expected<Model> opened = openModel(package, options.read ? LFM_MODEL_READ : 0,
                                     {}, options.isa, options.expertMib);
  if (!opened)
    return opened.takeError();
  model = std::move(*opened);
  double start = now();
  Expected<Session> created = createSession(model, options.threads);
  if (!created)
    return created.takeError();
  session = std::move(*created);
  sessionSeconds = now() - start;
  std::mt19937 random(1);
  ids.resize(size_t(model.info.max_context));
  for (int32_t &token : ids)
    token = int32_t(random() % uint32_t(model.info.vocab_size));
  return Error::success();
}

Expected<bool> Bench::fits(const std::string &what, int64_t positions,
                           bool chosen) {
  if (positions <= model.info.max_context)
    return true;
  std::string text =
      fmt::format("{} needs a context of {}, the package has {} (compile with "
                  "--max-context)",
                  what, positions, model.info.max_context);
  if (chosen)
    return makeError("{}", text);
  notes.push_back(text);
  return false;
}

Error Bench::planRows() {
  WorkModel work(model.manifest);
  using Kind = BenchRow::Kind;
  for (int64_t tokens : options.prefill) {
    Expected<bool> fit =
        fits(fmt::format("prefill {}", tokens), tokens, options.chosePrefill);
    if (!fit)
      return fit.takeError();
    if (*fit)
      rows.push_back({Kind::Prefill, tokens, 0, 1, work.prompt(tokens, 0)});
  }
  int64_t n = options.decode, stepDepth = 0;
  for (int64_t depth : options.depth) {
    Expected<bool> fit = fits(fmt::format("depth {}", depth),
                              depth + warmUp + n, options.choseDepth);
    if (!fit)
      return fit.takeError();
    if (!*fit)
      continue;
    if (n)
      rows.push_back(
          {Kind::Decode, 1, depth, n, work.decode(n, depth + warmUp)});
    if (!stepDepth)
      stepDepth = depth;
  }
  int64_t mostRows = 1;
  for (int64_t tokens : options.step) {
    int64_t times = std::max<int64_t>(1, n / tokens);
    std::string name =
        fmt::format("a step of {} at depth {}", tokens, stepDepth);
    if (tokens > model.info.max_prefill)
      return makeError("{}: the package reads at most {} tokens in a step",
                       name, model.info.max_prefill);
    Expected<bool> fit =
        fits(name, stepDepth + warmUp + times * tokens, options.choseStep);
    if (!fit)
      return fit.takeError();
    if (!*fit)
      continue;
    Work total;
    for (int64_t i = 0; i < times; ++i)
      total += work.step(tokens, stepDepth + warmUp + i * tokens, tokens);
    rows.push_back({Kind::Step, tokens, stepDepth, times, total});
    mostRows = std::max(mostRows, tokens);
  }
  size_t bytes =
      size_t(mostRows) * size_t(model.info.vocab_size) * sizeof(float);
  logits.reset(
      static_cast<float *>(std::aligned_alloc(64, alignTo(bytes, 64))));
  return logits ? Error::success()
                : makeError("no memory for {} bytes of logits", bytes);
}

// Reads a text once and keeps the session at each depth.
Error Bench::fillCaches() {
  std::map<int64_t, bool> depths;
  for (const BenchRow &row : rows)
    depths[row.depth] = true;
  lfm_session_reset(session.get());
  int64_t at = 0;
  for (auto [depth, needed] : depths) {
    if (depth == 0)
      continue;
    if (Error error = session.check(lfm_session_prefill(
            session.get(), ids.data() + at, size_t(depth - at), nullptr)))
      return error;
    at = depth;
    std::vector<uint8_t> &blob = filled[depth];
    blob.resize(lfm_session_snapshot_size(session.get()));
    if (Error error = session.check(
            lfm_session_snapshot_save(session.get(), blob.data(), blob.size())))
      return error;
  }
  return Error::success();
}

Error Bench::goTo(int64_t depth) {
  if (depth == 0) {
    lfm_session_reset(session.get());
    return Error::success();
  }
  const std::vector<uint8_t> &blob = filled.at(depth);
  return session.check(
      lfm_session_snapshot_load(session.get(), blob.data(), blob.size()));
}

// Of one measurement.
Expected<double> Bench::seconds(const BenchRow &row) {
  if (Error error = goTo(row.depth))
    return error;
  const int32_t *next = ids.data() + row.depth;
  if (row.kind != BenchRow::Kind::Prefill)
    if (Error error =
            session.check(lfm_session_decode(session.get(), *next++, nullptr)))
      return error;
  double start = now();
  for (int64_t i = 0; i < row.times; ++i, next += row.tokens) {
    lfm_status status =
        row.kind == BenchRow::Kind::Decode
            ? lfm_session_decode(session.get(), *next, nullptr)
        : row.kind == BenchRow::Kind::Prefill
            // With the logits of the last token: the time until the first token
            // of an answer could be chosen.
            ? lfm_session_prefill(session.get(), next, size_t(row.tokens),
                                  logits.get())
            // With all of them, as speculative decoding verifies.
            : lfm_session_logits(session.get(), next, size_t(row.tokens),
                                 logits.get());
    if (Error error = session.check(status))
      return error;
  }
  return now() - start;
}

Error Bench::measure(BenchRow &row, bool record) {
  Expected<double> elapsed = seconds(row);
  if (!elapsed)
    return elapsed.takeError();
  if (!record)
    return Error::success();
  row.seconds.values.push_back(*elapsed / double(row.times));
  row.perSecond.values.push_back(double(row.times * row.tokens) / *elapsed);
  if (!machine)
    return Error::success();
  row.readShare.values.push_back(row.work.bytes / *elapsed /
                                 bandwidth.values.back());
  row.arithmeticShare.values.push_back(row.work.operations / *elapsed /
                                       arithmetic.values.back());
  return Error::success();
}

void Bench::measureMachine() {
  if (!machine)
    return;
  bandwidth.values.push_back(machine->readBandwidth());
  arithmetic.values.push_back(machine->arithmeticPeak());
}

Error Bench::run(const std::string &package) {
  if (Error error = open(package))
    return error;
  if (Error error = planRows())
    return error;
  Progress progress;
  if (Error error = fillCaches())
    return error;
  uint64_t snapshots = 0;
  for (const auto &[depth, blob] : filled)
    snapshots += blob.size();
  // The first round warms up, and touches all memory that the model needs.
  for (int round = 0; round <= options.repeat; ++round)
    for (BenchRow &row : rows) {
      progress.update(
          "bench", uint64_t(round) * rows.size() + uint64_t(&row - rows.data()),
          uint64_t(options.repeat + 1) * rows.size());
      if (&row == rows.data() && round == 1) {
        anonymous = statusBytes("RssAnon") - snapshots;
        file = statusBytes("RssFile");
        peak = statusBytes("VmHWM") - snapshots;
        if (options.roofline) {
          Expected<Roofline> created = Roofline::create(
              lfm_session_threads(session.get()), model.program->cpu_features,
              WorkModel(model.manifest).arithmetic());
          if (!created)
            return created.takeError();
          machine.emplace(std::move(*created));
        }
      }
      if (round > 0)
        measureMachine();
      if (Error error = measure(row, round > 0))
        return error;
    }
  return Error::success();
}

} // namespace lfmc::cli
