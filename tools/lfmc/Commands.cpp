// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Commands.h"

#include "tools/lfmc/Predict.h"

#include "codegen/package/Driver.h"
#include "codegen/package/Interrupt.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>

namespace lfmc::cli {
namespace {

std::string programPath;

// Where a message is more than one problem, each gets its line; indented lines
// belong to the one before.
void printErrors(llvm::StringRef text) {
  waitIfInterrupted();
  llvm::SmallVector<llvm::StringRef> lines;
  text.split(lines, '\n', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  for (llvm::StringRef line : lines)
    llvm::errs() << (line.starts_with(" ") ? "" : "lfmc: error: ") << line
                 << '\n';
}

int runAction(const Action &action) {
  llvm::Expected<int> code = action();
  if (code)
    return *code;
  printErrors(llvm::toString(code.takeError()));
  return 1;
}

} // namespace

std::string executablePath() { return programPath; }

void warn(const std::string &text) {
  llvm::errs() << "lfmc: warning: " << text << '\n';
}

int run(int argc, char **argv) {
  programPath = llvm::sys::fs::getMainExecutable(
      argv[0], reinterpret_cast<void *>(&printErrors));
  // A full disk and a closed pipe are errors like any other.
  std::signal(SIGXFSZ, SIG_IGN);
  leaveOnInterrupts();

  CLI::App app("Compiles LFM2 checkpoints to native libraries.", "lfmc");
  app.set_version_flag("--version", compilerVersion());
  app.require_subcommand(1);
  app.fallthrough(false);
  Action action;
  addCompile(app, action);
  addRun(app, action);
  addVerify(app, action);
  addInspect(app, action);
  addBench(app, action);
  addEval(app, action);
  addSynth(app, action);
  addTokenize(app, action);
  addPredict(app, action);
  addTargets(app, action);
  addTune(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == 0)
      return app.exit(error);
    printErrors(error.what());
    llvm::errs() << "Run 'lfmc --help' or 'lfmc COMMAND --help' for usage.\n";
    return 2;
  }
  try {
    return runAction(action);
  } catch (const std::exception &error) {
    printErrors(error.what());
    return 1;
  }
}

} // namespace lfmc::cli
