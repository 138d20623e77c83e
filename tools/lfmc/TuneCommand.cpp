// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/TuneFlags.h"

#include "frontend/Errors.h"
#include "frontend/Json.h"
#include "frontend/SafeTensorsWriter.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>
#include <unistd.h>

using namespace llvm;

namespace lfmc::cli {

namespace {

volatile bool stopping = false;

// The first Ctrl-C ends the search, winners are still measured again; the
// second ends the program. All measurements are in the database by then.
void onInterrupt(int) {
  if (stopping) {
    tune::interrupted = true;
    _exit(130);
  }
  stopping = true;
}

/// What a session finds, on its way to the database. What the database refuses
/// (a full disk) is kept, offered again, and printed at the end.
class Keeper {
public:
  explicit Keeper(tune::Database &database) : database(database) {}

  void operator()(const tune::Measurement &m) {
    keep(database.add(m), tune::measurementLine(m));
  }
  void operator()(const TuningRecord &record) {
    keep(database.add(record), recordLine(record));
  }
  void drop(const std::string &kernel, const tune::Setting &setting) {
    keep(database.drop(kernel, setting), "");
  }

  /// Fails if something is still not written; it is then on standard output.
  Error finish() {
    if (unwritten.empty())
      return Error::success();
    std::string text;
    for (const std::string &line : unwritten)
      text += line + "\n";
    Expected<tune::TuningLines> lines = tune::parseLines(text, "memory");
    Error again = lines ? Error::success() : lines.takeError();
    if (lines) {
      for (const tune::Measurement &m : lines->measurements)
        if (!again)
          again = database.add(m);
      for (const TuningRecord &record : lines->records)
        if (!again)
          again = database.add(record);
    }
    if (!again)
      return Error::success();
    outs() << text;
    outs().flush();
    return makeError("{}\nwhat could not be written is on standard output: "
                     "lfmc tune --import reads it",
                     toString(std::move(again)));
  }

private:
  void keep(Error error, const std::string &line) {
    if (!error)
      return;
    if (unwritten.empty())
      warn(toString(std::move(error)));
    else
      consumeError(std::move(error));
    if (!line.empty())
      unwritten.push_back(line);
  }

  tune::Database &database;
  std::vector<std::string> unwritten;
};

class Display {
public:
  void operator()(const tune::Progress &p) const {
    if (p.last.status != tune::Status::Measured)
      warn(fmt::format("{} {}: candidate {}: {}", p.kernel,
                       phaseName(p.phase).str(),
                       tune::statusName(p.last.status).str(), p.last.message));
    if (!terminal)
      return;
    const int left = std::max(0, int(p.secondsLeft));
    std::fprintf(stderr, "\r\x1b[K%d:%02d left  %s %s: %zu of %zu, best %.2fx",
                 left / 60, left % 60, p.kernel.c_str(),
                 phaseName(p.phase).data(), p.measured, p.total, p.best);
    std::fflush(stderr);
  }
  ~Display() {
    if (terminal)
      std::fputs("\r\x1b[K", stderr);
  }

private:
  bool terminal = isatty(STDERR_FILENO);
};

std::string libraryFolder() {
  const std::string program = executablePath();
  StringRef bin = sys::path::parent_path(program);
  SmallString<128> path(sys::path::parent_path(bin));
  sys::path::append(path, "lib", "lfmc");
  return path.str().str();
}

Expected<tune::Setting> settingOf(tune::Device &device, const Target &target) {
  Expected<std::string> info = device.cpuinfo();
  if (!info)
    return info.takeError();
  return tune::Setting{target.name.str(), tuningFeatures(target),
                       cpuModelOf(*info), kernelVersion(), device.name()};
}

Expected<int> tuneTasks(const TuneFlags &flags, const Target &target,
                        const std::vector<tune::Task> &tasks) {
  Expected<double> budget = parseDuration(flags.budget);
  if (!budget)
    return budget.takeError();
  Expected<std::unique_ptr<tune::Device>> device =
      tune::openDevice(flags.device, &target, libraryFolder());
  if (!device)
    return device.takeError();
  if ((*device)->isLocal() && !runsOnHost(target))
    return makeError("this machine does not run {}: name another --device",
                     target.name.str());
  Expected<tune::Setting> setting = settingOf(**device, target);
  if (!setting)
    return setting.takeError();
  Expected<tune::Database> database = tune::Database::open(flags.database);
  if (!database)
    return database.takeError();
  if (!flags.report.empty()) {
    if (Error error = reportTuning(flags, tasks, *setting, *database))
      return error;
    return 0;
  }
  Expected<std::unique_ptr<tune::Measurer>> measurer = tune::Measurer::create(
      **device, target, libraryFolder(), cacheDirectory() + "/kernels");
  if (!measurer)
    return measurer.takeError();
  std::vector<tune::Measurement> known;
  if (flags.resume) {
    Expected<std::vector<tune::Measurement>> all = database->measurements();
    if (!all)
      return all.takeError();
    known = std::move(*all);
  }

  tune::SessionOptions options = flags.session;
  options.budgetSeconds = *budget;
  options.strategy = *tune::strategyKind(flags.strategy);
  options.jobs = flags.compile.jobs;
  Keeper keeper(*database);
  Display display;
  size_t won = 0, measured = 0;
  tune::SessionEvents events;
  events.measured = [&](const tune::Measurement &m) { ++measured, keeper(m); };
  events.progress = [&](const tune::Progress &p) { display(p); };
  events.lost = [&](const std::string &kernel) {
    keeper.drop(kernel, *setting);
    outs() << fmt::format("{:<46} preset\n", kernel);
  };
  events.won = [&](const TuningRecord &record) {
    ++won;
    keeper(record);
    std::string text = fmt::format("{:<46}", record.kernel);
    if (record.speedupOne > 0)
      text += fmt::format(" one {:.2f}x", record.speedupOne);
    if (record.speedupMany > 0)
      text += fmt::format(" many {:.2f}x", record.speedupMany);
    outs() << text << '\n';
  };
  tune::Session session(**measurer, target, *setting, options, events);
  for (const tune::Task &task : tasks)
    if (Error error = session.add(task, known))
      return error;
  struct sigaction action = {}, before = {};
  action.sa_handler = onInterrupt;
  sigaction(SIGINT, &action, &before);
  Error error = session.run(stopping);
  sigaction(SIGINT, &before, nullptr);
  error = joinErrors(std::move(error), keeper.finish());
  if (error)
    return error;
  outs() << fmt::format("{} measurements on {} ({}), {} of {} kernels tuned\n",
                        measured, setting->cpu, setting->source, won,
                        tasks.size());
  return stopping ? 130 : 0;
}

/// What is tuned, and for which target.
struct Subject {
  const Target *target;
  std::vector<tune::Task> tasks;
};

Expected<Subject> subjectOf(const TuneFlags &flags) {
  Expected<Json> manifest = manifestOf(flags.model, flags.compile);
  if (!manifest)
    return manifest.takeError();
  Expected<TunableKernels> kernels = readKernels(*manifest, flags.model);
  if (!kernels)
    return kernels.takeError();
  Expected<const Target *> target = findTarget(kernels->target);
  if (!target)
    return target.takeError();
  if (!isCheckpoint(flags.model) && flags.compile.target != "host") {
    Expected<const Target *> wanted = findTarget(flags.compile.target);
    if (!wanted)
      return wanted.takeError();
    if (*wanted != *target)
      return makeError("{} is a package for {}: its kernels cannot be tuned "
                       "for {}",
                       flags.model, kernels->target, (*wanted)->name.str());
  }
  if (kernels->tasks.empty())
    return makeError("{} has no kernels that target {} lets be tuned",
                     flags.model, kernels->target);
  return Subject{*target, std::move(kernels->tasks)};
}

/// --job FILE:NUMBER: one kernel of a plan into a file of its own.
Expected<int> runJob(TuneFlags flags) {
  auto [path, number] = StringRef(flags.job).rsplit(':');
  int line = 0;
  if (path.empty() || number.getAsInteger(10, line) || line < 1)
    return makeError("expected --job PLAN:NUMBER, counted from 1, found {}",
                     inQuotes(flags.job));
  if (flags.output.empty())
    return makeError("--job needs -o with the file for its results");
  Expected<PlannedTask> planned = readPlanned(path.str(), line);
  if (!planned)
    return planned.takeError();
  Expected<const Target *> target = findTarget(planned->target);
  if (!target)
    return target.takeError();
  // A database beside the results: what a killed job measured is found again
  // by --resume.
  flags.database = flags.output + ".sqlite";
  flags.resume = true;
  Expected<int> code = tuneTasks(flags, **target, {planned->task});
  if (!code)
    return code;
  Expected<tune::Database> database =
      tune::Database::open(flags.database, true);
  if (!database)
    return database.takeError();
  Expected<std::vector<TuningRecord>> records = database->records();
  Expected<std::vector<tune::Measurement>> all = database->measurements();
  if (!records || !all)
    return joinErrors(records.takeError(), all.takeError());
  std::string text;
  for (const TuningRecord &record : *records)
    text += recordLine(record) + "\n";
  for (const tune::Measurement &m : *all)
    text += tune::measurementLine(m) + "\n";
  if (Error error = writeFileAtomically(flags.output, text))
    return error;
  sys::fs::remove(flags.database);
  return code;
}

Expected<int> tuneModel(TuneFlags flags) {
  if (flags.database.empty())
    flags.database = tuningDatabasePath();
  if (!flags.job.empty())
    return runJob(flags);
  if (flags.model.empty())
    return exchangeTuning(flags);
  Expected<Subject> subject = subjectOf(flags);
  if (!subject)
    return subject.takeError();
  if (flags.plan.empty())
    return tuneTasks(flags, *subject->target, subject->tasks);
  std::vector<PlannedTask> planned;
  for (const tune::Task &task : subject->tasks)
    planned.push_back({subject->target->name.str(), task});
  if (Error error = writePlan(flags, planned))
    return error;
  outs() << fmt::format("{}: {} jobs\n", flags.plan, planned.size());
  return 0;
}

} // namespace

void addTune(CLI::App &app, Action &action) {
  auto flags = std::make_shared<TuneFlags>();
  CLI::App *command = app.add_subcommand(
      "tune", "measure variants of a model's kernels and keep the best");
  command->add_option("model", flags->model,
                      "checkpoint or package whose kernels are tuned");
  addCompileFlags(*command, flags->compile);
  addMeasuringFlags(*command, *flags);
  addExchangeFlags(*command, *flags);
  command->callback([flags, &action] {
    const bool exchange = !flags->exported.empty() || !flags->traced.empty() ||
                          !flags->imported.empty();
    if (int(exchange) + int(!flags->job.empty()) + int(!flags->model.empty()) !=
        1)
      throw CLI::ValidationError(
          "lfmc tune takes a model, --job, or --import and --export");
    action = [flags] { return tuneModel(*flags); };
  });
}

} // namespace lfmc::cli
