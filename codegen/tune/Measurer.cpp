// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Measurer.h"

#include "codegen/tune/Process.h"
#include "frontend/Errors.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace llvm;

namespace lfmc::tune {

Prepared::~Prepared() {
  for (const std::string &path : {program, job})
    if (!path.empty())
      sys::fs::remove(path);
}

static std::string writeFile(const std::string &path, const void *data,
                             size_t bytes) {
  std::error_code code;
  raw_fd_ostream out(path, code);
  if (!code) {
    out.write(static_cast<const char *>(data), bytes);
    out.close();
    code = out.error();
    out.clear_error();
  }
  return code ? "cannot write " + path + ": " + code.message() : "";
}

Expected<std::unique_ptr<Measurer>>
Measurer::create(Device &device, const Target &target,
                 const std::string &library, const std::string &cacheDir) {
  std::unique_ptr<Measurer> result(new Measurer(device));
  const StringRef arch = target.triple.split('-').first;
  result->base = fmt::format("{}/measure-{}.o", library, arch.str());
  result->emulation = arch == "aarch64" ? "aarch64linux" : "elf_x86_64";
  result->cacheDir = cacheDir;
  if (!sys::fs::exists(result->base))
    return makeError("cannot measure on {}: found no {} (it takes a C compiler "
                     "and a static C library for {} when lfmc is built)",
                     arch.str(), result->base, arch.str());
  for (const char *name : {"ld.lld-22", "ld.lld"})
    if (auto path = sys::findProgramByName(name)) {
      result->linker = *path;
      break;
    }
  if (result->linker.empty())
    return makeError("cannot link kernels: found no linker (ld.lld-22 or "
                     "ld.lld) in PATH");
  SmallString<128> folder;
  if (std::error_code code =
          sys::fs::createUniqueDirectory("lfmc-tune", folder))
    return makeError("cannot create a temporary folder: {}", code.message());
  result->folder = folder.str().str();
  return result;
}

Measurer::~Measurer() {
  if (!folder.empty())
    sys::fs::remove_directories(folder);
}

std::string Measurer::link(const std::vector<ObjectFile> &objects,
                           const std::string &output) {
  std::vector<std::string> command = {
      linker, "-static", "-m", emulation, "--gc-sections", "-o", output, base};
  std::string problem;
  std::vector<std::string> files;
  StringSet<> names; // microkernels that both kernels use
  for (const ObjectFile &object : objects) {
    if (!names.insert(object.name).second || !problem.empty())
      continue;
    files.push_back(fmt::format("{}.{}", output, object.name));
    problem = writeFile(files.back(), object.bytes.data(), object.bytes.size());
  }
  command.insert(command.end(), files.begin(), files.end());
  if (problem.empty()) {
    Ended ended = runProcess(command, "", 60);
    if (ended.code)
      problem =
          fmt::format("cannot link: {}", StringRef(ended.err).trim().str());
  }
  for (const std::string &file : files)
    sys::fs::remove(file);
  return problem;
}

/// What fails because nothing can be written says nothing of the candidate.
Prepared Measurer::failed(Prepared prepared, std::string why) const {
  prepared.failure = std::move(why);
  const std::string probe = prepared.program + ".probe";
  const std::vector<uint8_t> some(1 << 20);
  const std::string problem = writeFile(probe, some.data(), some.size());
  sys::fs::remove(probe);
  if (!problem.empty()) {
    prepared.noRoom = true;
    prepared.failure = problem;
  }
  return prepared;
}

Prepared Measurer::prepare(Problem &problem, Phase phase, const Choice &choice,
                           const MeasureOptions &options, unsigned jobs) {
  Prepared prepared;
  unsigned number;
  {
    std::lock_guard lock(mutex);
    number = count++;
  }
  prepared.program = fmt::format("{}/{}", folder, number);
  prepared.job = prepared.program + ".job";
  std::vector<ObjectFile> objects;
  const Choice preset = problem.space().preset();
  for (auto [symbol, which] : {std::pair("lfm_kernel_0", &preset),
                               std::pair("lfm_kernel_1", &choice)}) {
    Expected<std::vector<ObjectFile>> compiled =
        problem.compile(phase, *which, symbol, cacheDir, jobs);
    if (!compiled)
      return failed(std::move(prepared), toString(compiled.takeError()));
    for (ObjectFile &object : *compiled)
      objects.push_back(std::move(object));
  }
  prepared.tokens = problem.tokens(phase, options);
  const std::vector<uint8_t> job = problem.job(phase, choice, options);
  std::string problems = writeFile(prepared.job, job.data(), job.size());
  if (problems.empty())
    problems = link(objects, prepared.program);
  if (!problems.empty())
    return failed(std::move(prepared), std::move(problems));
  return prepared;
}

Outcome Measurer::run(const Prepared &prepared, const MeasureOptions &options) {
  Outcome outcome;
  if (prepared.failure.empty()) {
    // The clock fell, or others took the memory: once more, and the steadiest
    // counts.
    for (int attempt = 0; attempt < 3; ++attempt) {
      Outcome now =
          device.run(prepared.program, prepared.job, options.limitSeconds);
      const double drift = std::abs(std::log(now.drift));
      if (attempt == 0 || now.status != Status::Measured ||
          drift < std::abs(std::log(outcome.drift)))
        outcome = now;
      if (outcome.status != Status::Measured || drift < 0.2)
        break;
    }
    outcome.tokens = prepared.tokens;
    return outcome;
  }
  outcome.status = prepared.noRoom ? Status::Lost : Status::Uncompiled;
  outcome.message = prepared.failure;
  return outcome;
}

} // namespace lfmc::tune
