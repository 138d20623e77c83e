// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Bench.h"
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/Profile.h"
#include "tools/lfmc/Remote.h"

#include "frontend/Errors.h"

#include "llvm/Support/raw_ostream.h"

#include <cstdio>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  std::string path;
  BenchOptions options;
  RunnerOptions runner;
  std::string svg;
  bool json = false, profile = false;
};

Error writeFile(const std::string &path, const std::string &text) {
  return writeToOutput(path, [&](raw_ostream &out) {
    out << text;
    return Error::success();
  });
}

Expected<int> profile(const std::string &package, const Flags &flags) {
  const BenchOptions &options = flags.options;
  ProfileOptions chosen;
  if (options.chosePrefill && !options.prefill.empty())
    chosen.prefill = options.prefill.front();
  if (options.choseDepth)
    chosen.depth = options.depth.front();
  chosen.threads = options.threads;
  chosen.repeat = options.repeat;
  chosen.read = options.read;
  Expected<Profile> profile = Profile::measure(package, chosen);
  if (!profile)
    return profile.takeError();
  if (!flags.svg.empty())
    if (Error error = writeFile(flags.svg, profile->svg()))
      return error;
  std::puts(flags.json ? profile->json().dump(2).c_str()
                       : profile->table().c_str());
  return 0;
}

Expected<int> bench(const Flags &flags) {
  Expected<std::string> package = packageOf(flags.path, flags.compile);
  if (!package)
    return package.takeError();
  if (!flags.runner.command.empty()) {
    if (flags.options.expertMib)
      return makeError("--expert-mib: not with --runner");
    if (!flags.options.isa.empty())
      return makeError("--isa: not with --runner, whose processor chooses");
    RunnerOptions runner = flags.runner;
    runner.threads = std::max(flags.options.threads, 1);
    return benchRemote(*package, flags.options, runner, flags.json);
  }
  if (flags.profile)
    return profile(*package, flags);
  Bench bench(flags.options);
  if (Error error = bench.run(*package))
    return error;
  std::puts(flags.json ? bench.report().dump(2).c_str()
                       : bench.table().c_str());
  return 0;
}

} // namespace

void addBench(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command = app.add_subcommand("bench", "measure speed and memory");
  BenchOptions &options = flags->options;
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  auto list = [&](const char *name, std::vector<int64_t> &values,
                  const char *text) {
    return command->add_option(name, values, text)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(int64_t(0), int64_t(1) << 24));
  };
  CLI::Option *prefill = list("--prefill", options.prefill,
                              "lengths of prompts (128,512,2048); 0: none");
  CLI::Option *depth =
      list("--depth", options.depth,
           "positions filled before decoding (0,1024,4096,16384)");
  CLI::Option *step =
      list("--step", options.step,
           "tokens of short steps (2,3,4,5,6,7,8), at the first depth above 0; "
           "0: none");
  command
      ->add_option("--decode", options.decode, "tokens to decode (64); 0: none")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--threads", options.threads, "threads (all processors)")
      ->check(CLI::Range(1, 256));
  command->add_option("--repeat", options.repeat, "measurements of each (5)")
      ->check(CLI::Range(1, 1000));
  command->add_flag("--roofline,!--no-roofline", options.roofline,
                    "measure the machine as well, and print the shares of it");
  CLI::Option *read =
      command->add_flag("--read", options.read,
                        "read the weights into memory instead of mapping them");
  CLI::Option *expertMib =
      addExpertMib(*command, options.expertMib)->excludes(read);
  command->add_flag("--json", flags->json, "machine-readable");
  CLI::Option *profile = command->add_flag(
      "--profile", flags->profile,
      "instead: where the time of one prompt (the first of --prefill, 512) and "
      "of one token (behind the first of --depth, 0) goes, by operation");
  expertMib->excludes(profile);
  command->add_option("--svg", flags->svg, "a drawing of the profile")
      ->needs(profile);
  addRunnerFlags(*command, flags->runner);
  // --prefill of the compile flags would be another thing.
  addCompileFlags(*command, flags->compile, /*prefill=*/false);
  command->callback([=, &action] {
    BenchOptions &chosen = flags->options;
    for (auto *values : {&chosen.prefill, &chosen.step})
      llvm::erase(*values, 0);
    chosen.chosePrefill = prefill->count();
    chosen.choseDepth = depth->count();
    chosen.choseStep = step->count();
    chosen.isa = levelOf(flags->path, flags->compile);
    action = [flags] { return bench(*flags); };
  });
}

} // namespace lfmc::cli
