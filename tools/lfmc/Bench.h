// SPDX-License-Identifier: Apache-2.0
//
// How fast a package is: prompts, decoding behind a filled cache, and steps of
// a few tokens, each beside what the machine could do at that moment.
#ifndef LFMC_TOOLS_LFMC_BENCH_H
#define LFMC_TOOLS_LFMC_BENCH_H

#include "tools/lfmc/Loader.h"
#include "tools/lfmc/Roofline.h"
#include "tools/lfmc/Work.h"

#include <map>

namespace lfmc::cli {

struct BenchOptions {
  std::vector<int64_t> prefill = {128, 512, 2048}; ///< tokens of a prompt
  std::vector<int64_t> depth = {0, 1024, 4096, 16384};
  std::vector<int64_t> step = {2, 3, 4, 5, 6, 7, 8}; ///< tokens of a step
  int64_t decode = 64; ///< tokens of one measurement at each depth; 0: none
  int threads = 0, repeat = 5;
  std::vector<std::string> isa; ///< level to run; none: the best
  uint32_t expertMib = 0;       ///< bound of the experts in memory; 0: none
  bool roofline = true;
  bool read = false; ///< weights into memory instead of mapping them
  /// Lists that the user chose: it is an error if one of theirs does not fit
  /// the context; of the others it is left out, with a note.
  bool chosePrefill = false, choseDepth = false, choseStep = false;
};

/// Several measurements of one thing.
struct Samples {
  std::vector<double> values;

  double median() const; ///< 0 of nothing
  double lowest() const;
  double highest() const;
  Json json() const; ///< median, min, max
};

/// One line of the table.
struct BenchRow {
  enum class Kind { Prefill, Decode, Step };
  Kind kind;
  int64_t tokens;                 ///< of the prompt or step; 1 for decode
  int64_t depth;                  ///< positions that are filled before
  int64_t times;                  ///< steps in one measurement
  Work work;                      ///< of one measurement
  Samples perSecond{}, seconds{}; ///< tokens a second; seconds of one step
  /// Of the bandwidth and the arithmetic peak measured just before.
  Samples readShare{}, arithmeticShare{};
};

class Bench {
public:
  explicit Bench(const BenchOptions &options) : options(options) {}

  /// Opens the package in the directory `package` and measures: every
  /// repetition goes once through the machine and all rows.
  llvm::Error run(const std::string &package);

  Json report() const;
  std::string table() const;

private:
  llvm::Error open(const std::string &package);
  llvm::Error planRows();
  llvm::Expected<bool> fits(const std::string &what, int64_t positions,
                            bool chosen);
  llvm::Error fillCaches();
  llvm::Error measure(BenchRow &row, bool record);
  void measureMachine();
  llvm::Expected<double> seconds(const BenchRow &row);
  llvm::Error goTo(int64_t depth);

  const BenchOptions &options;
  Model model;
  Session session;
  std::vector<BenchRow> rows;
  std::vector<std::string> notes;
  std::vector<int32_t> ids; ///< random, as many as the context holds
  std::unique_ptr<float[], decltype(&std::free)> logits{nullptr, std::free};
  std::map<int64_t, std::vector<uint8_t>> filled; ///< snapshots by depth
  std::optional<Roofline> machine;
  Samples bandwidth, arithmetic; ///< bytes and operations a second
  uint64_t baseAnonymous = 0, anonymous = 0, file = 0, peak = 0;
  double sessionSeconds = 0;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_BENCH_H
