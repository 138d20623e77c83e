// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_TUNE_PROCESS_H
#define LFMC_CODEGEN_TUNE_PROCESS_H

#include <string>
#include <vector>

namespace lfmc::tune {

/// How a child process ended.
struct Ended {
  int code = -1;     ///< exit code; 128 + signal if a signal ended it
  bool late = false; ///< ended by us after the time was over
  std::string out, err;
};

/// Runs `arguments` (the first is looked up in PATH) with the file `input`
/// ("" for nothing) as standard input, for at most `seconds`; then, or when
/// tune::interrupted is set, its whole process group is killed. Never throws:
/// a program that cannot be started ends with 127.
Ended runProcess(const std::vector<std::string> &arguments,
                 const std::string &input, double seconds);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_PROCESS_H
