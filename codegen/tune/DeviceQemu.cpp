// SPDX-License-Identifier: Apache-2.0
//
// Instructions and modelled cycles: a stand-in where no device is at hand.
#include "codegen/tune/CoreModel.h"
#include "codegen/tune/Device.h"
#include "codegen/tune/Process.h"
#include "codegen/tune/measure/job.h"
#include "frontend/Errors.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstring>

using namespace llvm;

namespace lfmc::tune {
namespace {

// Of a step under an emulator, against one of the machine.
constexpr double slowness = 30;
// Of a call: its inner loops and what is around them.
constexpr int mostBlocks = 400;

/// The core that a target's device file names first; "" if it has none.
std::string coreOf(const Target &target) {
  Expected<json::Value> facts = json::parse(target.facts);
  if (!facts) {
    consumeError(facts.takeError());
    return "";
  }
  const json::Object *object = facts->getAsObject();
  const json::Array *clusters = object ? object->getArray("clusters") : nullptr;
  if (clusters && !clusters->empty())
    if (const json::Object *first = clusters->front().getAsObject())
      return first->getString("model").value_or("").str();
  return "";
}

class Qemu : public Device {
public:
  Qemu(StringRef arch, StringRef library, std::string core,
       std::unique_ptr<CoreModel> model)
      : command(commandOf("LFMC_QEMU",
                          fmt::format("qemu-{} -cpu max", arch.str()))),
        arch(arch), plugin(library.str() + "/libicount.so"),
        core(std::move(core)), model(std::move(model)) {}

  Outcome run(const std::string &program, const std::string &job,
              unsigned limitSeconds) override {
    limit = limitSeconds * slowness;
    auto file = MemoryBuffer::getFile(job, false, false);
    Outcome outcome;
    if (!file || (*file)->getBufferSize() < sizeof(lfm_job)) {
      outcome.message = "cannot read " + job;
      return outcome;
    }
    std::string bytes = (*file)->getBuffer().str();
    lfm_job head;
    std::memcpy(&head, bytes.data(), sizeof head);
    head.threads = 1;
    head.cold_bytes = 0;
    head.seconds = 0;
    head.limit_seconds = unsigned(limit);
    // First whether it is right; its times mean nothing.
    outcome = start(program, job, bytes, head, {});
    if (outcome.status != Status::Measured)
      return outcome;
    double counts[2];
    for (uint32_t k : {0u, 1u}) {
      head.repeats = 1;
      head.only = k;
      counts[k] = 0;
      Outcome counted = start(program, job, bytes, head, &counts[k]);
      if (counted.status != Status::Measured)
        return counted;
    }
    outcome.presetNs = counts[0];
    outcome.candidateNs = counts[1];
    outcome.ratio = counts[1] / counts[0];
    outcome.drift = 1;
    outcome.gigahertz[0] = outcome.gigahertz[1] = 0;
    return outcome;
  }
  Expected<std::string> cpuinfo() override {
    return "vendor_id : qemu\ncpu family : " + arch + "\nmodel : 0\n" +
           "model name : " +
           (model ? "cycles modelled for " + core : "instruction counts") +
           "\n";
  }
  std::string name() const override { return model ? "qemu:" + core : "qemu"; }

private:
  /// With `count` the cost of the call between two writes: cycles, without a
  /// model instructions.
  Outcome start(const std::string &program, const std::string &job,
                std::string &bytes, const lfm_job &head, double *count) {
    Outcome outcome;
    const std::string changed = job + ".qemu", counts = job + ".count";
    std::memcpy(bytes.data(), &head, sizeof head);
    {
      std::error_code code;
      raw_fd_ostream out(changed, code);
      out << bytes;
      out.close();
      if (out.has_error() || code) {
        out.clear_error();
        outcome.message = "cannot write " + changed;
        return outcome;
      }
    }
    std::vector<std::string> line = command;
    if (count) {
      line.push_back("-plugin");
      line.push_back(plugin + ",out=" + counts +
                     fmt::format(",blocks={}", mostBlocks));
    }
    line.push_back(program);
    line.push_back(changed);
    Ended ended = runProcess(line, "", limit);
    if (!count || ended.code || ended.late || interrupted) {
      outcome = outcomeOf(ended, 127);
    } else if (auto file = MemoryBuffer::getFile(counts)) {
      // A line a write: the first is what came before the call.
      StringRef second = (*file)->getBuffer().split('\n').second;
      outcome.message = score(program, second.split('\n').first, *count);
      if (outcome.message.empty())
        outcome.status = Status::Measured;
    } else {
      outcome.message = "no counts from " + plugin;
    }
    sys::fs::remove(changed);
    sys::fs::remove(counts);
    return outcome;
  }

  /// Why there is none, or "".
  std::string score(const std::string &program, StringRef line,
                    double &cost) const {
    std::optional<Counts> counts = Counts::parse(line);
    if (!counts || !counts->instructions)
      return "no counts from " + plugin;
    cost = double(counts->instructions);
    if (!model)
      return "";
    Expected<double> cycles = modelledCycles(*model, program, *counts);
    if (!cycles)
      return toString(cycles.takeError());
    cost = *cycles;
    return "";
  }

  std::vector<std::string> command;
  std::string arch, plugin, core;
  std::unique_ptr<CoreModel> model; ///< none: instructions count
  double limit = 0;
};

} // namespace

Expected<std::unique_ptr<Device>> openQemu(StringRef core, const Target *target,
                                           StringRef library) {
  if (!sys::fs::exists(library + "/libicount.so"))
    return makeError("cannot count instructions: found no {}/libicount.so",
                     library.str());
  if (!target)
    return makeError("device qemu needs a target");
  const std::string named = core.empty() ? coreOf(*target) : core.str();
  std::unique_ptr<CoreModel> model;
  if (!named.empty()) {
    Expected<std::unique_ptr<CoreModel>> made =
        CoreModel::create(*target, named);
    if (!made)
      return makeError("device qemu: {}", toString(made.takeError()));
    model = std::move(*made);
  }
  return std::make_unique<Qemu>(target->triple.split('-').first, library, named,
                                std::move(model));
}

} // namespace lfmc::tune
