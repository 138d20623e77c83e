// SPDX-License-Identifier: Apache-2.0
//
// `lfmc bench --runner`: times by the clock of the machine that runs the
// package; no shares of what that machine can do.
#include "tools/lfmc/Bench.h"
#include "tools/lfmc/Progress.h"
#include "tools/lfmc/Remote.h"

#include "frontend/Errors.h"

#include <random>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Row {
  std::string name;
  int64_t tokens, depth;
  Samples perSecond;
};

Error measure(Remote &remote, Row &row, bool decode, ArrayRef<int32_t> ids,
              int repeat) {
  if (Error error = remote.reset())
    return error;
  if (row.depth)
    if (Error error = remote.prefill(ids.take_front(row.depth), nullptr))
      return error;
  if (Error error = remote.save())
    return error;
  ArrayRef<int32_t> tokens = ids.slice(row.depth, row.tokens);
  for (int i = 0; i <= repeat; ++i) {
    if (Error error = remote.load())
      return error;
    if (Error error = decode ? remote.decode(tokens, nullptr)
                             : remote.prefill(tokens, nullptr))
      return error;
    if (i > 0) // the first warms up
      row.perSecond.values.push_back(double(row.tokens) / remote.seconds());
  }
  return Error::success();
}

} // namespace

Expected<int> benchRemote(StringRef package, const BenchOptions &options,
                          const RunnerOptions &runner, bool json) {
  Expected<std::unique_ptr<Remote>> started = Remote::start(package, runner);
  if (!started)
    return started.takeError();
  Remote &remote = **started;
  std::mt19937 random(1);
  std::vector<int32_t> ids(size_t(remote.maxContext()));
  for (int32_t &token : ids)
    token = int32_t(random() % uint32_t(remote.vocabSize()));
  std::vector<Row> rows;
  auto add = [&](const char *name, int64_t tokens, int64_t depth,
                 bool chosen) -> Error {
    if (tokens < 1)
      return Error::success();
    if (depth + tokens <= remote.maxContext())
      rows.push_back({name, tokens, depth, {}});
    else if (chosen)
      return makeError("{} {} at depth {}: the package has a context of {} "
                       "(compile with --max-context)",
                       name, tokens, depth, remote.maxContext());
    return Error::success();
  };
  for (int64_t tokens : options.prefill)
    if (Error error = add("prefill", tokens, 0, options.chosePrefill))
      return error;
  for (int64_t depth : options.depth)
    if (Error error = add("decode", options.decode, depth, options.choseDepth))
      return error;
  {
    Progress progress;
    for (Row &row : rows) {
      progress.update("bench", uint64_t(&row - rows.data()), rows.size());
      if (Error error =
              measure(remote, row, row.name == "decode", ids, options.repeat))
        return error;
    }
  }
  Json report = {{"threads", remote.threads()},
                 {"open_seconds", remote.openSeconds()},
                 {"rows", Json::array()}};
  for (const Row &row : rows) {
    report["rows"].push_back({{"kind", row.name},
                              {"tokens", row.tokens},
                              {"depth", row.depth},
                              {"tokens_per_second", row.perSecond.json()}});
    if (!json)
      std::puts(fmt::format("{:<8} {:>5} tokens at depth {:>5}: {:.2f} tok/s "
                            "({:.2f} to {:.2f})",
                            row.name, row.tokens, row.depth,
                            row.perSecond.median(), row.perSecond.lowest(),
                            row.perSecond.highest())
                    .c_str());
  }
  if (json)
    std::puts(report.dump(2).c_str());
  else
    std::puts(fmt::format("{} threads, opened in {:.3f} s", remote.threads(),
                          remote.openSeconds())
                  .c_str());
  return 0;
}

} // namespace lfmc::cli
