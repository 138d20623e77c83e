// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TOOLS_LFMC_COMPILEFLAGS_H
#define LFMC_TOOLS_LFMC_COMPILEFLAGS_H

#include "tools/lfmc/Cache.h"

#include <CLI/CLI.hpp>

namespace lfmc::cli {

/// Adds --target, --weights, --max-context, --prefill and --jobs: for commands
/// that take a checkpoint. `flags` must outlive `command`.
void addCompileFlags(CLI::App &command, CompileFlags &flags);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_COMPILEFLAGS_H
