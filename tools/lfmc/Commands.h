// SPDX-License-Identifier: Apache-2.0
//
// The sub-commands of lfmc: each adds itself to the command line and, when it
// is the chosen one, returns the program's exit code or an error.
#ifndef LFMC_TOOLS_LFMC_COMMANDS_H
#define LFMC_TOOLS_LFMC_COMMANDS_H

#include "llvm/Support/Error.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace lfmc::cli {

/// What the parsed command line asks for.
using Action = std::function<llvm::Expected<int>()>;

void addCompile(CLI::App &app, Action &action);
void addRun(CLI::App &app, Action &action);
void addVerify(CLI::App &app, Action &action);
void addInspect(CLI::App &app, Action &action);
void addBench(CLI::App &app, Action &action);
void addEval(CLI::App &app, Action &action);
void addSynth(CLI::App &app, Action &action);
void addTokenize(CLI::App &app, Action &action);
void addTargets(CLI::App &app, Action &action);
void addTune(CLI::App &app, Action &action);

/// The whole program. Exit codes: 0 done, 1 failed (one line "lfmc: error: …"
/// per problem on stderr), 2 wrong command line.
int run(int argc, char **argv);

/// Path of this program, for what lies beside it.
std::string executablePath();

/// Prints "lfmc: warning: text".
void warn(const std::string &text);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_COMMANDS_H
