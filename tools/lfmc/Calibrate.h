// SPDX-License-Identifier: Apache-2.0
//
// Calibration: a checkpoint compiled for this machine reads tokens, and what
// its linears multiply is summed up (codegen/quantize/Calibration.h).
#ifndef LFMC_TOOLS_LFMC_CALIBRATE_H
#define LFMC_TOOLS_LFMC_CALIBRATE_H

#include "tools/lfmc/Cache.h"

namespace lfmc::cli {

struct CalibrationOptions {
  /// A UTF-8 text. Empty: the model writes the tokens itself, sampled from its
  /// distribution without any filter, each sequence from the token that begins
  /// a text on; the seeds are fixed.
  std::string textPath;
  int64_t tokens = 0; ///< at most, in sequences of up to 512; 0: see below
  unsigned jobs = 0;  ///< threads; 0: all processors
};

/// Tokens that are read if nobody says how many: 8192, or fewer for a model
/// whose tokens read many parameters and that has to write them, at least 512.
int64_t calibrationTokens(uint64_t parameters, bool ownText);

/// Compiles `checkpoint` with its weights as they are, runs it and sums up.
/// Equal arguments give equal sums on equal processors, whatever the threads.
/// Null: the model, reading its own tokens, computes values that are not
/// finite. Errors: a text that cannot be read or has fewer than 32 tokens,
/// values that are not finite with it, and what compiling brings.
llvm::Expected<std::shared_ptr<const Calibration>>
calibrate(const std::string &checkpoint, const CalibrationOptions &options);

/// Sets how `options` quantizes as `flags` say; measures where that needs it.
llvm::Error chooseQuantizer(const CompileFlags &flags, CompileOptions &options);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_CALIBRATE_H
