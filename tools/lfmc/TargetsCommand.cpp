// SPDX-License-Identifier: Apache-2.0
#include "targets/Target.h"
#include "tools/lfmc/Commands.h"

#include <fmt/format.h>

#include <cstdio>

namespace lfmc::cli {

void addTargets(CLI::App &app, Action &action) {
  CLI::App *command = app.add_subcommand("targets", "list the targets");
  command->callback([&action] {
    action = []() -> llvm::Expected<int> {
      const Target &host = hostTarget();
      for (const Target &target : allTargets())
        std::fputs(fmt::format("{:<12} {}{}\n", target.name.str(),
                               target.summary.str(),
                               &target == &host     ? " (this machine, 'host')"
                               : runsOnHost(target) ? ""
                                                    : " (not this machine)")
                       .c_str(),
                   stdout);
      return 0;
    };
  });
}

} // namespace lfmc::cli
