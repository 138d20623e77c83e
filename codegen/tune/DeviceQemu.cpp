// SPDX-License-Identifier: Apache-2.0
//
// Instruction counts: a stand-in where no device is at hand.
#include "codegen/tune/Device.h"

#include "codegen/tune/Process.h"
#include "codegen/tune/measure/job.h"
#include "frontend/Errors.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstring>

using namespace llvm;

namespace lfmc::tune {
namespace {

// Of a step under an emulator, against one of the machine.
constexpr double slowness = 30;

class Qemu : public Device {
public:
  Qemu(StringRef arch, StringRef library)
      : command(commandOf("LFMC_QEMU",
                          fmt::format("qemu-{} -cpu max", arch.str()))),
        arch(arch), plugin(library.str() + "/libicount.so") {}

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
           "model name : instruction counts\n";
  }
  std::string name() const override { return "qemu"; }

private:
  /// With `count` the instructions of the call between two writes.
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
      line.push_back(plugin + ",out=" + counts);
    }
    line.push_back(program);
    line.push_back(changed);
    Ended ended = runProcess(line, "", limit);
    if (!count || ended.code || ended.late || interrupted) {
      outcome = outcomeOf(ended, 127);
    } else if (auto file = MemoryBuffer::getFile(counts)) {
      // A line a write: the first is what came before the call.
      StringRef second = (*file)->getBuffer().split('\n').second;
      if (second.split(' ').first.split('\n').first.getAsDouble(*count) ||
          *count <= 0)
        outcome.message = "no counts from " + plugin;
      else
        outcome.status = Status::Measured;
    } else {
      outcome.message = "no counts from " + plugin;
    }
    sys::fs::remove(changed);
    sys::fs::remove(counts);
    return outcome;
  }

  std::vector<std::string> command;
  std::string arch, plugin;
  double limit = 0;
};

} // namespace

std::unique_ptr<Device> openQemu(StringRef arch, StringRef library) {
  return std::make_unique<Qemu>(arch, library);
}

} // namespace lfmc::tune
