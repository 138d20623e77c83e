// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TOOLS_LFMC_COMPILEFLAGS_H
#define LFMC_TOOLS_LFMC_COMPILEFLAGS_H

#include "tools/lfmc/Cache.h"

#include <CLI/CLI.hpp>

namespace lfmc::cli {

/// Adds --target, --weights, --quant and what belongs to it, --max-context,
/// --jobs and, if `prefill`, --prefill: for commands that take a checkpoint.
/// `flags` must outlive `command`.
void addCompileFlags(CLI::App &command, CompileFlags &flags,
                     bool prefill = true);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_COMPILEFLAGS_H
