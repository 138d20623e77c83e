// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Profile.h"

#include "frontend/Errors.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

using namespace llvm;

namespace lfmc::cli {
namespace {

// Phases of one kind or layer together.
struct Group {
  std::string name;
  int64_t runs = 0;
  double work = 0, wait = 0; // means over threads
  std::vector<const ProfiledPhase *> phases;
};

std::vector<Group> groupBy(const ProfiledStep &step,
                           std::string ProfiledPhase::*key) {
  MapVector<StringRef, Group> groups;
  for (const ProfiledPhase &phase : step.phases) {
    Group &group = groups[phase.*key];
    group.name = phase.*key;
    group.runs += phase.runs;
    group.work += phase.meanWork();
    group.wait += phase.meanWait();
    group.phases.push_back(&phase);
  }
  std::vector<Group> result;
  for (auto &[name, group] : groups)
    result.push_back(std::move(group));
  return result;
}

std::vector<Group> kindsOf(const ProfiledStep &step) {
  std::vector<Group> kinds = groupBy(step, &ProfiledPhase::kind);
  llvm::sort(kinds, [](const Group &a, const Group &b) {
    return std::tie(b.work, a.name) < std::tie(a.work, b.name);
  });
  return kinds;
}

std::string title(const ProfiledStep &step) {
  return step.what == "decode"
             ? fmt::format("decode, 1 token behind {}", step.depth)
             : fmt::format("prefill, {} tokens", step.tokens);
}

double totalWait(const ProfiledStep &step) {
  double wait = 0;
  for (const ProfiledPhase &phase : step.phases)
    wait += phase.meanWait();
  return wait;
}

} // namespace

Json Profile::json() const {
  Json json = {{"name", name}, {"target", target}, {"threads", threads}};
  for (const ProfiledStep &step : steps) {
    Json kinds = Json::array(), phases = Json::array();
    for (const Group &kind : kindsOf(step))
      kinds.push_back({{"kind", kind.name},
                       {"runs", kind.runs},
                       {"work_seconds", kind.work},
                       {"wait_seconds", kind.wait},
                       {"share", kind.work / step.seconds}});
    for (const ProfiledPhase &phase : step.phases)
      phases.push_back({{"function", entryName(phase.entry)},
                        {"phase", phase.phase},
                        {"kind", phase.kind},
                        {"layer", phase.layer},
                        {"runs", phase.runs},
                        {"work_seconds", phase.work},
                        {"wait_seconds", phase.wait}});
    json["steps"].push_back({{"step", step.what},
                             {"tokens", step.tokens},
                             {"depth", step.depth},
                             {"seconds", step.seconds},
                             {"wait_seconds", totalWait(step)},
                             {"outside_seconds", step.outside},
                             {"kinds", kinds},
                             {"phases", phases}});
  }
  return json;
}

std::string Profile::table() const {
  std::string text = fmt::format("{} for {}, {} threads; means over threads\n",
                                 name, target, threads);
  for (const ProfiledStep &step : steps) {
    double all = step.seconds;
    text += fmt::format("\n{}: {:.3f} ms\n  {:<24} {:>5} {:>10} {:>8} {:>10}\n",
                        title(step), 1e3 * all, "operation", "runs", "work ms",
                        "share", "wait ms");
    for (const Group &kind : kindsOf(step))
      text += fmt::format("  {:<24} {:>5} {:>10.3f} {:>6.1f} % {:>10.3f}\n",
                          kind.name, kind.runs, 1e3 * kind.work,
                          100 * kind.work / all, 1e3 * kind.wait);
    double wait = totalWait(step);
    text += fmt::format("  {:<24} {:>5} {:>10.3f} {:>6.1f} %\n", "barriers", "",
                        1e3 * wait, 100 * wait / all);
    text +=
        fmt::format("  {:<24} {:>5} {:>10.3f} {:>6.1f} %\n\n", "start and end",
                    "", 1e3 * step.outside, 100 * step.outside / all);
    text += fmt::format("  {:<6} {:>9} {:>9}  operations (work ms)\n", "layer",
                        "work ms", "wait ms");
    for (const Group &layer : groupBy(step, &ProfiledPhase::layer)) {
      text += fmt::format("  {:<6} {:>9.3f} {:>9.3f} ", layer.name,
                          1e3 * layer.work, 1e3 * layer.wait);
      for (const ProfiledPhase *phase : layer.phases)
        text += fmt::format(" {} {:.3f}", phase->kind, 1e3 * phase->meanWork());
      text += "\n";
    }
  }
  return text;
}

namespace {

constexpr const char *palette[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759",
                                   "#76b7b2", "#edc948", "#b07aa1", "#9c755f",
                                   "#ff9da7", "#79706e", "#d37295", "#8cd17d"};
constexpr const char *waiting = "#d9d9d9";
constexpr int left = 60, barWidth = 840, rowHeight = 18, legendWidth = 210,
              legendColumns = 4;

// The same for a linear with and without its norm, in all steps.
class Colours {
public:
  std::string operator[](StringRef kind) {
    StringRef name = kind.substr(kind.rfind('+') + 1);
    size_t next = places.size() % std::size(palette);
    return palette[places.try_emplace(name, next).first->second];
  }

private:
  StringMap<size_t> places;
};

// One step at height `y`; returns the height below it.
int drawStep(const ProfiledStep &step, int y, Colours &colours,
             std::string &svg) {
  auto box = [&](double x, int top, double width, const std::string &colour,
                 const std::string &tip) {
    svg += fmt::format("<rect x=\"{:.2f}\" y=\"{}\" width=\"{:.2f}\" "
                       "height=\"{}\" fill=\"{}\"><title>{}</title></rect>\n",
                       x, top, width, rowHeight - 4, colour, tip);
  };
  auto text = [&](double x, int baseline, const std::string &anchor,
                  const std::string &words) {
    svg += fmt::format(
        "<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n", x,
        baseline, anchor, words);
  };
  svg += "<g font-weight=\"bold\">\n";
  text(left, y + 16, "start",
       fmt::format("{}: {:.3f} ms", title(step), 1e3 * step.seconds));
  svg += "</g>\n";
  y += 26;

  // The legend, with the totals.
  int place = 0;
  auto legend = [&](const std::string &name, double seconds,
                    const std::string &colour) {
    int x = left + place % legendColumns * legendWidth,
        top = y + place / legendColumns * rowHeight;
    ++place;
    box(x, top, rowHeight - 4, colour, name);
    text(x + rowHeight, top + 12, "start",
         fmt::format("{} {:.2f} ms, {:.1f} %", name, 1e3 * seconds,
                     100 * seconds / step.seconds));
  };
  for (const Group &kind : kindsOf(step))
    legend(kind.name, kind.work, colours[kind.name]);
  legend("barriers", totalWait(step), waiting);
  y += (place + legendColumns - 1) / legendColumns * rowHeight + 6;

  std::vector<Group> layers = groupBy(step, &ProfiledPhase::layer);
  double longest = 0;
  for (const Group &layer : layers)
    longest = std::max(longest, layer.work + layer.wait);
  for (const Group &layer : layers) {
    text(left - 6, y + 12, "end", layer.name);
    double x = left;
    auto part = [&](const std::string &what, double seconds,
                    const std::string &colour) {
      double width = seconds / longest * barWidth;
      box(x, y, width, colour,
          fmt::format("{}, layer {}: {:.4f} ms", what, layer.name,
                      1e3 * seconds));
      x += width;
    };
    for (const ProfiledPhase *phase : layer.phases) {
      part(phase->kind, phase->meanWork(), colours[phase->kind]);
      part("barrier behind " + phase->kind, phase->meanWait(), waiting);
    }
    text(x + 6, y + 12, "start",
         fmt::format("{:.3f} ms", 1e3 * (layer.work + layer.wait)));
    y += rowHeight;
  }
  return y + 16;
}

} // namespace

std::string Profile::svg() const {
  std::string body;
  Colours colours;
  int height = 40;
  for (const ProfiledStep &step : steps)
    height = drawStep(step, height, colours, body);
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"24\" font-size=\"16\">{3} for {4}, {5} threads: "
      "time "
      "by layer and operation</text>\n{6}</svg>\n",
      left + barWidth + 90, height, left, name, target, threads, body);
}

} // namespace lfmc::cli
