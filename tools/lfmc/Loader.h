// SPDX-License-Identifier: Apache-2.0
//
// Running a package inside lfmc: its library is linked to a shared object in
// the cache and loaded; lfmc's own runtime does the rest.
#ifndef LFMC_TOOLS_LFMC_LOADER_H
#define LFMC_TOOLS_LFMC_LOADER_H

#include "codegen/package/Package.h"
#include "lfm/lfm.h"
#include "lfm/program.h"

#include <memory>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace lfmc::cli {

/// A loaded package. Movable; everything lives as long as it does.
struct Model {
  Json manifest;
  std::string weightsPath;
  const lfm_program *program = nullptr;
  std::unique_ptr<lfm_program> level; ///< a copy that has no better levels
  std::unique_ptr<lfm_model, decltype(&lfm_model_close)> handle{
      nullptr, lfm_model_close};
  lfm_model_info info{};
  double openSeconds = 0; ///< opening program and weights, the linking apart

  const lfm_tokenizer *tokenizer() const {
    return lfm_model_tokenizer(handle.get());
  }
  /// Tokens of `text`; see lfm_tokenize for the flags.
  llvm::Expected<std::vector<int32_t>> tokenize(llvm::StringRef text,
                                                uint32_t flags) const;
};

struct Session {
  std::unique_ptr<lfm_session, decltype(&lfm_session_destroy)> handle{
      nullptr, lfm_session_destroy};

  lfm_session *get() const { return handle.get(); }
  /// Success, or the message of the call that returned `status`.
  llvm::Error check(lfm_status status) const;
};

/// The program of a package, without its weights.
llvm::Expected<const lfm_program *> loadProgram(llvm::StringRef package,
                                                const Json &manifest);

/// Opens the package in the directory `package`. `flags`: LFM_MODEL_*.
/// `replace` may give another program to open in the place of the package's
/// best level. `isa`: the level to run, as given to --isa; none: the best that
/// this processor has. `expertMib`: of lfm_model_options; not 0 is an error for
/// a model without experts.
llvm::Expected<Model> openModel(
    llvm::StringRef package, uint32_t flags = 0,
    llvm::function_ref<const lfm_program *(const lfm_program &)> replace = {},
    llvm::ArrayRef<std::string> isa = {}, uint32_t expertMib = 0);

/// Adds --expert-mib for `mebibytes`.
CLI::Option *addExpertMib(CLI::App &command, uint32_t &mebibytes);

/// A session with `threads` threads (0: all processors).
llvm::Expected<Session> createSession(const Model &model, int threads);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_LOADER_H
