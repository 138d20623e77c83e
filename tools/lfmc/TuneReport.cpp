// SPDX-License-Identifier: Apache-2.0
//
// lfmc tune --report: what was measured, as a table and as a plot.
#include "tools/lfmc/TuneFlags.h"

#include "codegen/tune/Problem.h"
#include "frontend/Errors.h"
#include "frontend/SafeTensorsWriter.h"
#include "tools/lfmc/Roofline.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <thread>

using namespace llvm;

namespace lfmc::cli {
namespace {

/// Measurements of one kernel and phase, in the order in which they were made.
struct Line {
  std::string kernel;
  Phase phase;
  std::vector<double> best; ///< speed-up after each measurement
  double presetNs = 0, bestNs = 0;
  size_t failed = 0;
};

std::vector<Line> linesOf(const std::vector<tune::Task> &tasks,
                          const tune::Setting &setting,
                          const std::vector<tune::Measurement> &all) {
  std::vector<Line> lines;
  for (const tune::Task &task : tasks)
    for (Phase phase : phases) {
      Line line{task.kernel, phase, {}};
      double best = 1;
      for (const tune::Measurement &m : all) {
        if (m.kernel != task.kernel || m.phase != phase ||
            !(m.setting == setting))
          continue;
        if (m.outcome.status != tune::Status::Measured) {
          ++line.failed;
        } else {
          if (!line.bestNs || 1 / m.outcome.ratio > best) {
            line.bestNs = m.outcome.candidateNs;
            line.presetNs = m.outcome.presetNs;
          }
          best = std::max(best, 1 / m.outcome.ratio);
        }
        line.best.push_back(best);
      }
      if (!line.best.empty())
        lines.push_back(std::move(line));
    }
  return lines;
}

std::string plot(const std::vector<Line> &lines, const std::string &title) {
  constexpr double left = 60, right = 560, top = 50, bottom = 430;
  double most = 1.1;
  size_t longest = 2;
  for (const Line &line : lines) {
    most = std::max(most, line.best.back() * 1.02);
    longest = std::max(longest, line.best.size());
  }
  auto x = [&](size_t i) {
    return left + double(i) / double(longest - 1) * (right - left);
  };
  auto y = [&](double v) {
    return bottom - (v - 1) / (most - 1) * (bottom - top);
  };
  static const char *colors[] = {"#4e79a7", "#f28e2b", "#e15759", "#76b7b2",
                                 "#59a14f", "#edc948", "#b07aa1", "#9c755f"};
  std::string body;
  for (int i = 0; i <= 5; ++i) {
    const double v = 1 + (most - 1) * i / 5;
    body += fmt::format("<path d=\"M{0} {1:.1f}H{2}\" stroke=\"#ddd\"/>\n<text "
                        "x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.2f}x"
                        "</text>\n",
                        left, y(v), right, left - 6, y(v) + 4, v);
  }
  body += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">"
                      "measurements (1 to {})</text>\n",
                      (left + right) / 2, bottom + 24, longest);
  for (size_t l = 0; l < lines.size(); ++l) {
    std::string path;
    for (size_t i = 0; i < lines[l].best.size(); ++i)
      path += fmt::format("{}{:.1f} {:.1f}", i ? "L" : "M", x(i),
                          y(lines[l].best[i]));
    const std::string style = fmt::format(
        "stroke=\"{}\"{}", colors[l % 8],
        lines[l].phase == Phase::Many ? " stroke-dasharray=\"5 3\"" : "");
    body += fmt::format(
        "<path d=\"{}\" fill=\"none\" stroke-width=\"2\" {}/>\n", path, style);
    const double at = top + 16.0 * double(l);
    body +=
        fmt::format("<path d=\"M{0} {1}h20\" stroke-width=\"2\" {2}/>\n<text "
                    "x=\"{3}\" y=\"{4}\">{5} {6}</text>\n",
                    right + 10, at, style, right + 34, at + 4, lines[l].kernel,
                    phaseName(lines[l].phase).str());
  }
  const double height = std::max(480.0, top + 16.0 * double(lines.size()) + 20);
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" "
      "height=\"{0}\" viewBox=\"0 0 900 {0}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"white\"/>\n<text x=\"{1}\" y=\"28\" font-size=\"16\">{2}</text>\n"
      "{3}</svg>\n",
      height, left, title, body);
}

} // namespace

Error reportTuning(const TuneFlags &flags, const std::vector<tune::Task> &tasks,
                   const tune::Setting &setting, tune::Database &database) {
  Expected<std::vector<tune::Measurement>> all = database.measurements();
  if (!all)
    return all.takeError();
  Expected<std::vector<TuningRecord>> records = database.records();
  if (!records)
    return records.takeError();
  const std::vector<Line> lines = linesOf(tasks, setting, *all);
  if (lines.empty())
    return makeError("nothing was measured for these kernels on {} ({}): run "
                     "lfmc tune first",
                     setting.cpu, setting.source);
  // A roof only where it can be measured: here.
  const Target &target = **findTarget(setting.target);
  double bandwidth = 0, arithmetic = 0;
  if (setting.source == "local" && runsOnHost(target)) {
    Expected<Roofline> roofline = Roofline::create(
        int(std::max(1u, flags.session.measure.threads
                             ? flags.session.measure.threads
                             : std::thread::hardware_concurrency())),
        target.cpuFeatures, Arithmetic::Int8, uint64_t(256) << 20);
    if (!roofline)
      return roofline.takeError();
    bandwidth = roofline->readBandwidth();
    arithmetic = roofline->arithmeticPeak();
  }

  std::string text = fmt::format(
      "{}, {}, kernels of version {}\n{:<40} {:<5} {:>6} {:>10} {:>10} {:>7} "
      "{:>7} {:>6}\n",
      setting.cpu, setting.target, setting.version, "kernel", "phase", "tried",
      "preset us", "best us", "speedup", "record", "roof");
  double logs[2] = {0, 0};
  size_t counts[2] = {0, 0};
  for (const Line &line : lines) {
    const int p = line.phase == Phase::One ? 0 : 1;
    auto record = llvm::find_if(*records, [&](const TuningRecord &r) {
      return r.kernel == line.kernel && r.target == setting.target &&
             r.features == setting.features && r.cpu == setting.cpu &&
             r.version == setting.version;
    });
    const double kept = record == records->end() ? 1
                        : p == 0                 ? record->speedupOne
                                                 : record->speedupMany;
    logs[p] += std::log(kept > 0 ? kept : 1);
    ++counts[p];
    std::string roof = "";
    if (Expected<tune::LinearShape> shape =
            tune::LinearShape::parse(line.kernel);
        shape && bandwidth > 0 && line.presetNs > 0) {
      const double nanoseconds = line.presetNs / (kept > 0 ? kept : 1);
      const double work =
          p == 0 ? shape->weightBytes()
                 : 2 * shape->products() * double(flags.session.measure.tokens);
      if (p == 0 || shape->block)
        roof = fmt::format("{:.0f} %", 100 * work / (nanoseconds * 1e-9) /
                                           (p == 0 ? bandwidth : arithmetic));
    } else if (!shape) {
      consumeError(shape.takeError());
    }
    text += fmt::format(
        "{:<40} {:<5} {:>6} {:>10.1f} {:>10.1f} {:>6.2f}x {:>6.2f}x {:>6}\n",
        line.kernel, phaseName(line.phase).str(), line.best.size(),
        line.presetNs / 1e3, line.bestNs / 1e3, line.best.back(),
        kept > 0 ? kept : 1, roof);
    if (line.failed)
      text += fmt::format("  {} candidates failed\n", line.failed);
  }
  text += "geometric mean of the records:";
  for (int p : {0, 1})
    if (counts[p])
      text += fmt::format(" {} {:.3f}x", phaseName(phases[p]).str(),
                          std::exp(logs[p] / double(counts[p])));
  outs() << text << '\n';
  return writeFileAtomically(
      flags.report,
      plot(lines, fmt::format("best speed-up over the preset, {}, {}",
                              setting.cpu, setting.target)));
}

} // namespace lfmc::cli
