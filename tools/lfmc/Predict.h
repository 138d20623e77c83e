// SPDX-License-Identifier: Apache-2.0
//
// Speed without the device: a model of the inner loops and of memory.
#ifndef LFMC_TOOLS_LFMC_PREDICT_H
#define LFMC_TOOLS_LFMC_PREDICT_H

#include "codegen/package/Package.h"
#include "targets/Target.h"
#include "tools/lfmc/Commands.h"

#include <map>
#include <vector>

namespace lfmc::cli {

/// The instructions of the innermost loop of `assembly` (of one function, in
/// LLVM's syntax) that holds most multiplications; empty if there is none.
std::vector<std::string> hottestLoop(llvm::StringRef assembly);

/// Multiplications of one pass of a loop of sdot, smmla or fmla.
int64_t multiplications(llvm::ArrayRef<std::string> loop);

/// Cores of one kind, from a device file.
struct Cluster {
  std::string core, model; ///< model: of llvm-mca
  int64_t cores = 0;
  double ghz = 0;
};

struct Prediction {
  double decode = 0, prefill = 0; ///< tokens a second
  double firstToken = 0;          ///< seconds, of the prompt
  double decodeBytes = 0, memory = 0;
  bool memoryBound = false;       ///< decode
  std::vector<std::string> loops; ///< what was modelled, a line each
};

class Predictor {
public:
  /// Fails if the device file names no clusters or bandwidth.
  static llvm::Expected<Predictor> create(const Target &device);

  /// Of a package whose kernels are compiled for `device`. `cores`: only the
  /// fastest (0: all).
  llvm::Expected<Prediction> predict(const Json &manifest, int64_t prompt,
                                     int64_t depth, int64_t cores) const;
  const std::vector<Cluster> &clusters() const { return kinds; }
  double bandwidth() const { return peak; } ///< bytes a second

private:
  explicit Predictor(const Target &device) : device(device) {}
  /// Cycles of a multiplication in the kernels of `params` on `model`.
  llvm::Expected<double> cycles(const Json &params, const std::string &model,
                                std::vector<std::string> &loops) const;

  const Target &device;
  std::vector<Cluster> kinds; ///< fastest first
  double peak = 0;
  mutable std::map<std::string, double> known;
};

/// Share of a memory interface's peak that decoding reads at. Assumed: 0.54 is
/// what llama.cpp's published rate on the Galaxy S25 Ultra comes to.
inline constexpr double bandwidthShare = 0.6;

/// The command, beside those of Commands.h.
void addPredict(CLI::App &app, Action &action);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_PREDICT_H
