// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Remote.h"

#include "frontend/Errors.h"
#include "tools/lfmc/Cache.h"
#include "tools/lfmc/Commands.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"
#include "llvm/TargetParser/Triple.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace llvm;

extern char **environ;

namespace lfmc::cli {
namespace {

/// `text` as one word of a shell.
std::string shellWord(StringRef text) {
  std::string out = "'";
  for (char c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// The C compiler and options that make a static program for a target, as a
/// shell's words.
Expected<std::string> compilerOf(const std::string &target,
                                 const Triple &triple) {
  if (triple.isX86())
    return std::string("cc -static");
  if (triple.isAArch64() && triple.isOSLinux() && !triple.isAndroid()) {
    for (const char *name :
         {"aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc-12"})
      if (sys::findProgramByName(name))
        return std::string(name) + " -static";
    return makeError("no C compiler for {}: install gcc-aarch64-linux-gnu, or "
                     "name one with --runner-cc",
                     target);
  }
  if (triple.isAndroid()) {
    const char *root = std::getenv("ANDROID_NDK_ROOT");
    std::string compiler = std::string(root ? root : "") +
                           "/toolchains/llvm/prebuilt/linux-x86_64/bin/"
                           "aarch64-linux-android30-clang";
    if (root && sys::fs::exists(compiler))
      return shellWord(compiler) + " -static";
    return makeError("no C compiler for {}: expected the Android NDK in "
                     "ANDROID_NDK_ROOT ({}), or name a compiler with "
                     "--runner-cc",
                     target, root ? std::string("no ") + compiler : "not set");
  }
  return makeError("no C compiler for {}: name one with --runner-cc", target);
}

/// Runs a shell's command; the error holds what it wrote.
Error shell(const std::string &command, const std::string &log) {
  std::optional<StringRef> redirects[] = {StringRef(""), StringRef(log),
                                          StringRef(log)};
  std::string message;
  int status = sys::ExecuteAndWait("/bin/sh", {"sh", "-c", command},
                                   std::nullopt, redirects, 0, 0, &message);
  if (auto text = MemoryBuffer::getFile(log))
    message += (*text)->getBuffer();
  sys::fs::remove(log);
  return status == 0
             ? Error::success()
             : makeError("{}: {}", command, StringRef(message).trim().str());
}

/// Links a package for Hexagon and its own driver to `program`; `linker` is
/// `chosen` or lld.
Error linkHexagon(StringRef package, const std::string &name,
                  const std::string &chosen, const Installation &installation,
                  const std::string &program) {
  std::string linker = chosen;
  if (linker.empty()) {
    Expected<std::string> found = findHexagonLinker();
    if (!found)
      return joinErrors(found.takeError(),
                        makeError("--runner-cc names another"));
    linker = *found;
  }
  return shell(fmt::format("{} -static -e _start -u _start "
                           "--defsym=lfm_runner_program={}_program -o {} {} {}",
                           linker, name, shellWord(program),
                           shellWord(installation.hexagon + "/liblfm_runner.a"),
                           shellWord((package + "/lib" + name + ".a").str())),
               program + ".log");
}

/// Links package and driver to `program`.
Error link(StringRef package, const Json &manifest, const std::string &chosen,
           const std::string &program) {
  const std::string name = manifest.at("name");
  const Json &target = manifest.at("target");
  const Triple triple(target.at("triple").get<std::string>());
  Expected<Installation> installation = Installation::find(executablePath());
  if (!installation)
    return installation.takeError();
  if (triple.getArch() == Triple::hexagon)
    return linkHexagon(package, name, chosen, *installation, program);
  std::string compiler = chosen;
  if (compiler.empty()) {
    Expected<std::string> found = compilerOf(target.at("name"), triple);
    if (!found)
      return found.takeError();
    compiler = *found;
  }
  std::string driver =
      (sys::path::parent_path(installation->sources) + "/runner/driver.c")
          .str();
  std::string sources;
  if (sys::fs::exists(package + "/runtime/src"))
    sources = fmt::format("-fno-exceptions -fno-rtti -fno-threadsafe-statics "
                          "-fvisibility=hidden -I{0}/runtime/include "
                          "{0}/runtime/src/*.cpp ",
                          shellWord(package));
  return shell(fmt::format("{} -O2 -I{} -DLFMC_PACKAGE_HEADER='\"{}.h\"' "
                           "-DLFMC_PACKAGE_PROGRAM={}_program {} {}{} "
                           "-lpthread -lm -o {}",
                           compiler, shellWord(package), name, name,
                           shellWord(driver), sources,
                           shellWord((package + "/lib" + name + ".a").str()),
                           shellWord(program)),
               program + ".log");
}

bool writeAll(int file, const void *data, size_t bytes) {
  for (const char *at = static_cast<const char *>(data); bytes;) {
    ssize_t count = ::write(file, at, bytes);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return false;
    at += count;
    bytes -= size_t(count);
  }
  return true;
}

bool readAll(int file, void *data, size_t bytes) {
  for (char *at = static_cast<char *>(data); bytes;) {
    ssize_t count = ::read(file, at, bytes);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return false;
    at += count;
    bytes -= size_t(count);
  }
  return true;
}

} // namespace

Expected<std::unique_ptr<Remote>> Remote::start(StringRef package,
                                                const RunnerOptions &options) {
  Expected<Json> manifest = readManifest(package);
  if (!manifest)
    return manifest.takeError();
  const std::string name = manifest->at("name").get<std::string>();
  std::unique_ptr<Remote> it(new Remote);
  std::string folder = cacheDirectory() + "/runner";
  if (std::error_code code = sys::fs::create_directories(folder))
    return makeError(
        "cannot create {} (set LFMC_CACHE_DIR to another place): {}", folder,
        code.message());
  SmallString<128> place;
  sys::fs::createUniquePath(folder + "/" + name + "-%%%%%%%%", place,
                            /*MakeAbsolute=*/false);
  it->program = place.str().str();
  sys::RemoveFileOnSignal(it->program);
  if (Error error = link(package, *manifest, options.compiler, it->program))
    return error;

  int input[2], output[2];
  if (::pipe(input) || ::pipe(output))
    return makeError("cannot make a pipe: {}", std::strerror(errno));
  for (int end : {input[1], output[0]})
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input[0], 0);
  posix_spawn_file_actions_adddup2(&actions, output[1], 1);
  std::string command = fmt::format(
      "exec {} {} {} {}", options.command, shellWord(it->program),
      shellWord((package + "/" + name + ".weights").str()), options.threads);
  const char *words[] = {"sh", "-c", command.c_str(), nullptr};
  pid_t process = 0;
  int code = posix_spawn(&process, "/bin/sh", &actions, nullptr,
                         const_cast<char **>(words), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(input[0]);
  ::close(output[1]);
  it->toIt = input[1];
  it->fromIt = output[0];
  if (code)
    return makeError("cannot start {}: {}", command, std::strerror(code));
  it->process = process;
  // A program that has ended is an error of write, no signal.
  std::signal(SIGPIPE, SIG_IGN);
  float facts[5];
  if (Error error = it->receive(facts))
    return joinErrors(makeError("the runner failed: {}", command),
                      std::move(error));
  it->vocab = int32_t(facts[0]);
  it->context = int32_t(facts[1]);
  it->team = int32_t(facts[3]);
  it->memory = facts[4];
  it->opening = it->lastSeconds;
  return it;
}

Remote::~Remote() {
  if (toIt >= 0)
    ::close(toIt);
  if (fromIt >= 0)
    ::close(fromIt);
  if (process > 0)
    ::waitpid(process, nullptr, 0);
  sys::fs::remove(program);
  sys::DontRemoveFileOnSignal(program);
}

// What became of a program that does not answer.
Error Remote::ended() {
  int status = 0;
  ::close(toIt);
  toIt = -1;
  if (process > 0)
    ::waitpid(process, &status, 0);
  process = 0;
  if (WIFSIGNALED(status))
    return makeError("the program was ended by signal {} ({})",
                     WTERMSIG(status), strsignal(WTERMSIG(status)));
  return makeError("the program ended with code {} and without an answer",
                   WEXITSTATUS(status));
}

Error Remote::receive(MutableArrayRef<float> answer) {
  int32_t head[2];
  if (!readAll(fromIt, head, sizeof head) ||
      !readAll(fromIt, &lastSeconds, sizeof lastSeconds))
    return ended();
  auto [status, count] = head;
  if (status) {
    std::string message(size_t(std::clamp(count, 0, 4096)), 0);
    if (!readAll(fromIt, message.data(), message.size()))
      return ended();
    return makeError("{}", message);
  }
  if (count < 0 || size_t(count) != answer.size())
    return makeError("the runner's program answered {} values, expected {}",
                     count, answer.size());
  return readAll(fromIt, answer.data(), answer.size() * sizeof(float))
             ? Error::success()
             : ended();
}

Error Remote::call(int32_t operation, ArrayRef<int32_t> tokens,
                   MutableArrayRef<float> answer) {
  const int32_t head[] = {operation, int32_t(tokens.size())};
  if (!writeAll(toIt, head, sizeof head) ||
      !writeAll(toIt, tokens.data(), tokens.size() * sizeof(int32_t)))
    return ended();
  return receive(answer);
}

void addRunnerFlags(CLI::App &command, RunnerOptions &options) {
  CLI::Option *runner = command.add_option(
      "--runner", options.command,
      "runs the package as a static program by this command, such as "
      "'qemu-aarch64 -cpu max', qemu-hexagon or a wrapper around adb or ssh");
  command
      .add_option(
          "--runner-cc", options.compiler,
          "the C compiler for that, with its options (hexagon: the linker)")
      ->needs(runner);
}

} // namespace lfmc::cli
