// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Device.h"

#include "codegen/tune/Process.h"
#include "frontend/Errors.h"
#include "frontend/Json.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"

#include <csignal>

using namespace llvm;

namespace lfmc::tune {

Device::~Device() = default;

static constexpr StringLiteral statusNames[] = {
    "measured", "uncompiled", "wrong",      "crashed",
    "hung",     "lost",       "interrupted"};

StringRef statusName(Status status) { return statusNames[size_t(status)]; }

std::optional<Status> parseStatus(StringRef name) {
  for (size_t i = 0; i < std::size(statusNames); ++i)
    if (statusNames[i] == name)
      return Status(i);
  return std::nullopt;
}

Outcome parseOutput(StringRef text) {
  Outcome outcome;
  outcome.status = Status::Crashed;
  outcome.message = "no measurement in " + inQuotes(text.trim());
  Expected<nlohmann::json> parsed = parseJson(text, "measurement");
  if (!parsed) {
    consumeError(parsed.takeError());
    return outcome;
  }
  try {
    const nlohmann::json &json = *parsed;
    if (json.at("status") == "wrong") {
      outcome.status = Status::Wrong;
      outcome.message = fmt::format("row {}, column {}: found {}, wanted {}",
                                    json.at("row").get<int64_t>(),
                                    json.at("column").get<int64_t>(),
                                    json.at("found").get<std::string>(),
                                    json.at("wanted").get<std::string>());
      if (json.at("kernel") == 0)
        outcome.message = "the preset itself: " + outcome.message;
      return outcome;
    }
    outcome.ratio = json.at("ratio");
    outcome.presetNs = json.at("times").at(0).at("low");
    outcome.candidateNs = json.at("times").at(1).at("low");
    outcome.drift = json.at("drift");
    outcome.gigahertz[0] = json.at("ghz").at(0);
    outcome.gigahertz[1] = json.at("ghz").at(1);
    outcome.threads = json.at("threads");
    if (!(outcome.ratio > 0 && outcome.presetNs > 0 && outcome.candidateNs > 0))
      return outcome;
    outcome.status = Status::Measured;
    outcome.message.clear();
  } catch (const nlohmann::json::exception &) {
    // as it was
  }
  return outcome;
}

Outcome outcomeOf(const Ended &ended, int lost) {
  Outcome outcome;
  outcome.message = StringRef(ended.err).trim().rsplit('\n').second.str();
  if (outcome.message.empty())
    outcome.message = StringRef(ended.err).trim().str();
  if (interrupted) {
    outcome.status = Status::Interrupted;
  } else if (ended.late || ended.code == 128 + SIGALRM) {
    outcome.status = Status::Hung;
    outcome.message = "no answer in time";
  } else if (ended.code == lost) {
    outcome.status = Status::Lost;
  } else if (ended.code == 0 || ended.code == 3) {
    return parseOutput(ended.out);
  } else {
    outcome.status = Status::Crashed;
    outcome.message =
        fmt::format("exit code {}{}{}", ended.code,
                    outcome.message.empty() ? "" : ": ", outcome.message);
  }
  return outcome;
}

std::vector<std::string> commandOf(const char *variable,
                                   const std::string &otherwise) {
  SmallVector<StringRef> words;
  std::string text = sys::Process::GetEnv(variable).value_or(otherwise);
  StringRef(text).split(words, ' ', -1, /*KeepEmpty=*/false);
  return std::vector<std::string>(words.begin(), words.end());
}

namespace {

class Local : public Device {
public:
  Outcome run(const std::string &program, const std::string &job,
              unsigned limitSeconds) override {
    return outcomeOf(runProcess({program, job}, "", limitSeconds + 1.0), 127);
  }
  Expected<std::string> cpuinfo() override {
    auto file = MemoryBuffer::getFileAsStream("/proc/cpuinfo");
    if (!file)
      return makeError("cannot read /proc/cpuinfo: {}",
                       file.getError().message());
    return (*file)->getBuffer().str();
  }
  std::string name() const override { return "local"; }
  bool isLocal() const override { return true; }
};

/// Program and job go through standard input into a directory that is removed
/// at the end, however that comes.
class Ssh : public Device {
public:
  explicit Ssh(std::string host) : host(std::move(host)) {}

  Outcome run(const std::string &program, const std::string &job,
              unsigned limitSeconds) override {
    uint64_t size = 0;
    const std::string both = job + ".both";
    Outcome outcome;
    if (std::error_code code = sys::fs::file_size(program, size)) {
      outcome.message = code.message();
      return outcome;
    }
    if (std::string problem = concatenate(program, job, both);
        !problem.empty()) {
      outcome.message = problem;
      return outcome;
    }
    const std::string script = fmt::format(
        "d=$(mktemp -d) || exit 255; trap 'rm -rf \"$d\"' EXIT HUP TERM; "
        "head -c {} > \"$d/measure\" && cat > \"$d/job\" && chmod +x "
        "\"$d/measure\" || exit 255; \"$d/measure\" \"$d/job\"",
        size);
    // Time for the way: the program watches its own.
    Ended ended = remote(script, both, limitSeconds + 30.0);
    sys::fs::remove(both);
    if (ended.late) { // it would have ended itself
      outcome.message = "no answer";
      return outcome;
    }
    return outcomeOf(ended, 255);
  }
  Expected<std::string> cpuinfo() override {
    Ended ended = remote("cat /proc/cpuinfo", "", 30);
    if (ended.code)
      return makeError("cannot reach {}: {}", inQuotes(name()),
                       StringRef(ended.err).trim().str());
    return ended.out;
  }
  std::string name() const override { return "ssh:" + host; }

private:
  Ended remote(const std::string &script, const std::string &input,
               double seconds) const {
    std::vector<std::string> command =
        commandOf("LFMC_SSH", "ssh -o BatchMode=yes -o ConnectTimeout=10");
    command.push_back(host);
    command.push_back(script);
    return runProcess(command, input, seconds);
  }
  static std::string concatenate(const std::string &a, const std::string &b,
                                 const std::string &to) {
    std::error_code code;
    raw_fd_ostream out(to, code);
    for (const std::string &path : {a, b})
      if (auto file = MemoryBuffer::getFile(path, false, false))
        out << (*file)->getBuffer();
      else
        return "cannot read " + path + ": " + file.getError().message();
    out.close();
    if (out.has_error())
      code = out.error();
    out.clear_error();
    return code ? "cannot write " + to + ": " + code.message() : "";
  }

  std::string host;
};

class Adb : public Device {
public:
  explicit Adb(std::string serial) : serial(std::move(serial)) {}

  Outcome run(const std::string &program, const std::string &job,
              unsigned limitSeconds) override {
    const std::string place =
        fmt::format("/data/local/tmp/lfmc-{}", sys::Process::getProcessId());
    Outcome outcome;
    for (auto [from, to] : {std::pair(program, place + "-measure"),
                            std::pair(job, place + "-job")}) {
      Ended ended = adb({"push", from, to}, 60);
      if (ended.code == 0)
        continue;
      outcome.message = StringRef(ended.err).trim().str();
      outcome.status = interrupted ? Status::Interrupted : Status::Lost;
      return outcome;
    }
    // The device's answer is marked: adb fails with 1 like any program.
    Ended ended =
        adb({"shell", fmt::format("chmod 755 {0}-measure && "
                                  "{0}-measure {0}-job; code=$?; rm -f "
                                  "{0}-measure {0}-job; echo; echo "
                                  "lfmc:$code",
                                  place)},
            limitSeconds + 30.0);
    StringRef text = StringRef(ended.out).trim();
    auto [answer, code] = text.rsplit("lfmc:");
    if (ended.late || interrupted)
      return outcomeOf(ended, -1);
    if (!text.contains("lfmc:") || code.getAsInteger(10, ended.code)) {
      outcome.message = StringRef(ended.err).trim().str();
      return outcome;
    }
    ended.out = answer.str();
    return outcomeOf(ended, -1);
  }
  Expected<std::string> cpuinfo() override {
    Ended ended = adb({"shell", "cat /proc/cpuinfo"}, 30);
    if (ended.code)
      return makeError("cannot reach {}: {}", inQuotes(name()),
                       StringRef(ended.err).trim().str());
    return ended.out;
  }
  std::string name() const override { return "adb:" + serial; }

private:
  Ended adb(std::vector<std::string> arguments, double seconds) const {
    std::vector<std::string> command = commandOf("LFMC_ADB", "adb");
    if (!serial.empty()) {
      command.push_back("-s");
      command.push_back(serial);
    }
    command.insert(command.end(), arguments.begin(), arguments.end());
    return runProcess(command, "", seconds);
  }

  std::string serial;
};

} // namespace

Expected<std::unique_ptr<Device>>
openDevice(StringRef name, const Target *target, StringRef library) {
  StringRef rest = name;
  if (name == "local")
    return std::make_unique<Local>();
  if (rest.consume_front("ssh:") && !rest.empty() && !rest.starts_with("-"))
    return std::make_unique<Ssh>(rest.str());
  rest = name;
  if (rest.consume_front("adb:"))
    return std::make_unique<Adb>(rest.str());
  rest = name;
  if (rest.consume_front("qemu") &&
      (rest.empty() || (rest.consume_front(":") && !rest.empty())))
    return openQemu(rest, target, library);
  return makeError("expected a device local, ssh:[user@]host, adb:[serial] or "
                   "qemu[:CORE], found {}",
                   inQuotes(name));
}

} // namespace lfmc::tune
