// SPDX-License-Identifier: Apache-2.0
//
// lfmc tune --report: what was measured, as a table and as a plot.
#include "tools/lfmc/TuneFlags.h"

#include "codegen/tune/Tasks.h"
#include "frontend/Errors.h"
#include "frontend/SafeTensorsWriter.h"
#include "tools/lfmc/Roofline.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <map>

using namespace llvm;

namespace lfmc::cli {
namespace {

/// Measurements of one kernel and phase, in the order in which they were made.
struct Line {
  std::string kernel;
  Phase phase;
  std::vector<double> best; ///< speed-up after each measurement
  double share = 0;         ///< of the phase's step
  double presetNs = 0, bestNs = 0;
  int threads = 0;    ///< that ran it
  int64_t tokens = 0; ///< of a call
  size_t failed = 0;
};

/// What this machine can do at best, measured when it is asked for.
class Roofs {
public:
  explicit Roofs(const Target &target) : target(target) {}

  /// The share of the roof that a call of `nanoseconds` reaches: of the
  /// bandwidth for one token, of the arithmetic for many. "" if it is not
  /// known how many tokens they were, or what bounds them.
  Expected<std::string> share(const Line &line, double nanoseconds) {
    std::optional<tune::Cost> cost = tune::costOf(line.kernel, line.tokens);
    if (!cost || !cost->bounded || line.tokens < 1 || line.threads < 1)
      return "";
    const bool one = line.phase == Phase::One;
    Expected<double> roof =
        one ? bandwidth(line.threads) : peak(line.threads, cost->integers);
    if (!roof)
      return roof.takeError();
    return fmt::format("{:.0f} %", 100 *
                                       (one ? cost->bytes : cost->operations) /
                                       (nanoseconds * 1e-9) / *roof);
  }

  /// A line for each roof that was asked for.
  std::string legend() const { return text; }

private:
  Expected<double> bandwidth(int threads) {
    auto [found, fresh] = bandwidths.try_emplace(threads);
    if (!fresh)
      return found->second;
    Expected<Roofline> roofline = Roofline::create(
        threads, target.cpuFeatures, Arithmetic::F32, uint64_t(256) << 20);
    if (!roofline)
      return roofline.takeError();
    found->second = roofline->readBandwidth();
    text += fmt::format("roof of one token, {} threads: memory, {:.1f} GB/s\n",
                        threads, found->second / 1e9);
    return found->second;
  }

  Expected<double> peak(int threads, bool integers) {
    auto [found, fresh] = peaks.try_emplace({threads, integers});
    if (!fresh)
      return found->second;
    Expected<Roofline> roofline = Roofline::create(
        threads, target.cpuFeatures,
        integers ? Arithmetic::Int8 : Arithmetic::F32, /*bytes=*/1);
    if (!roofline)
      return roofline.takeError();
    found->second = roofline->arithmeticPeak();
    text +=
        fmt::format("roof of many tokens, {} threads: {}, {:.0f} Gop/s\n",
                    threads, roofline->arithmeticName(), found->second / 1e9);
    return found->second;
  }

  const Target &target;
  std::map<int, double> bandwidths;
  std::map<std::pair<int, bool>, double> peaks;
  std::string text;
};

std::vector<Line> linesOf(const std::vector<tune::Task> &tasks,
                          const tune::Setting &setting,
                          const std::vector<tune::Measurement> &all) {
  std::vector<Line> lines;
  for (const tune::Task &task : tasks)
    for (Phase phase : phases) {
      Line line{task.kernel, phase, {}};
      line.share = task.share[phase == Phase::One ? 0 : 1];
      double best = 1;
      for (const tune::Measurement &m : all) {
        if (m.kernel != task.kernel || m.phase != phase ||
            !(m.setting == setting))
          continue;
        if (m.outcome.status != tune::Status::Measured) {
          ++line.failed;
        } else {
          line.threads = m.outcome.threads;
          line.tokens = m.outcome.tokens;
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
  const bool here = setting.source == "local" && runsOnHost(target);
  Roofs roofs(target);
  // Of an emulator, cycles or instructions.
  const bool times = !StringRef(setting.source).starts_with("qemu");
  const char *unit = times ? "us" : "k";
  std::string text = fmt::format(
      "{}, {}, kernels of version {}{}\n{:<46} {:<5} {:>6} {:>6} {:>10} {:>10} "
      "{:>7} {:>7} {:>6}\n",
      setting.cpu, setting.target, setting.version,
      times ? "" : ": thousands of them, not times", "kernel", "phase", "share",
      "tried", fmt::format("preset {}", unit), fmt::format("best {}", unit),
      "speedup", "record", "roof");
  double logs[2] = {0, 0};
  double before[2] = {0, 0}, after[2] = {0, 0}; // of a step, by the shares
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
    before[p] += line.share;
    after[p] += line.share / (kept > 0 ? kept : 1);
    std::string roof = "";
    if (here && line.presetNs > 0) {
      Expected<std::string> share =
          roofs.share(line, line.presetNs / (kept > 0 ? kept : 1));
      if (!share)
        return share.takeError();
      roof = *share;
    }
    text += fmt::format(
        "{:<46} {:<5} {:>4.1f} % {:>6} {:>10.1f} {:>10.1f} {:>6.2f}x "
        "{:>6.2f}x {:>6}\n",
        line.kernel, phaseName(line.phase).str(), 100 * line.share,
        line.best.size(), line.presetNs / 1e3, line.bestNs / 1e3,
        line.best.back(), kept > 0 ? kept : 1, roof);
    if (line.failed)
      text += fmt::format("  {} candidates failed\n", line.failed);
  }
  text += roofs.legend() + "geometric mean of the records:";
  for (int p : {0, 1})
    if (counts[p])
      text += fmt::format(" {} {:.3f}x", phaseName(phases[p]).str(),
                          std::exp(logs[p] / double(counts[p])));
  text += "\nweighted by their shares of a step:";
  for (int p : {0, 1})
    if (after[p] > 0)
      text += fmt::format(" {} {:.3f}x", phaseName(phases[p]).str(),
                          before[p] / after[p]);
  outs() << text << '\n';
  return writeFileAtomically(
      flags.report,
      plot(lines,
           fmt::format("best {}speed-up over the preset, {}, {}",
                       times ? "" : "modelled ", setting.cpu, setting.target)));
}

} // namespace lfmc::cli
