// SPDX-License-Identifier: Apache-2.0
//
// What lfmc keeps between runs: compiled kernels, linked packages, compiled
// checkpoints. All of it can be deleted at any time.
#ifndef LFMC_TOOLS_LFMC_CACHE_H
#define LFMC_TOOLS_LFMC_CACHE_H

#include "codegen/package/Driver.h"

namespace lfmc::cli {

/// $LFMC_CACHE_DIR, or else $XDG_CACHE_HOME/lfmc, or else ~/.cache/lfmc.
std::string cacheDirectory();

/// $LFMC_TUNING_DB, or else tuning.sqlite in the cache.
std::string tuningDatabasePath();

/// A hash of a checkpoint: of a GGUF file, or of a directory's configuration
/// and tokenizer files and tensors. Files above 64 MiB count by size, time of
/// change and samples.
llvm::Expected<std::string> checkpointFingerprint(llvm::StringRef directory);

/// How a checkpoint is to be compiled, as given on the command line.
struct CompileFlags {
  std::string target = "host", weights, name, kvCache, activations = "f32";
  std::vector<std::string> isa, quant;
  std::string calibrate = "auto"; ///< or "none", or a text's path
  std::string quantizer;          ///< name; empty: what fits
  /// Measured before; null: when it is needed.
  std::shared_ptr<const Calibration> calibration;
  int64_t calibrateTokens = 0; ///< 0: what fits
  int64_t maxContext = 0, maxPrefill = 0;
  unsigned jobs = 0;
  /// Processor whose tuning records count; auto: this one, if it runs the
  /// target; none: no records.
  std::string tunedFor = "auto";

  /// Those of the database and those that lfmc brings along; null: none.
  llvm::Expected<std::shared_ptr<const TuningTable>> tuning() const;
  /// The same for the compiler. Fails for an unknown weight format.
  llvm::Expected<CompileOptions> options(const std::string &checkpoint) const;
};

/// The package to work with: `path` itself if it is one; if it is a checkpoint,
/// the package in the cache, compiled first if it is not there.
llvm::Expected<std::string> packageOf(const std::string &path,
                                      const CompileFlags &flags);

/// What --isa means for packageOf(path, flags): of a package the level to run;
/// a checkpoint is compiled for those levels, and the best runs: none.
std::vector<std::string> levelOf(const std::string &path,
                                 const CompileFlags &flags);

/// Of a package what NAME.json says, of a checkpoint what it would say: no code
/// is generated for that.
llvm::Expected<Json> manifestOf(const std::string &model,
                                const CompileFlags &flags);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_CACHE_H
