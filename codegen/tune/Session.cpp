// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Session.h"

#include "frontend/Errors.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <map>
#include <thread>

using namespace llvm;

namespace lfmc::tune {

// Of the budget, for measuring winners again.
static constexpr double confirming = 0.15;
// A record must gain that much, and neither of its kernels may lose more than
// what measurements of one kernel differ by.
static constexpr double leastGain = 1.01, mostLoss = 1.01;
// Steps of a few tokens, as drafts are checked with, run the many-token kernel
// and earn nothing, but may not lose more than that.
static constexpr int64_t shortTokens = 4;
static constexpr double mostShortLoss = 1.04;

/// One kernel of one phase.
struct Session::Search {
  Phase phase;
  double weight = 0;                ///< of its time, against other searches
  std::unique_ptr<Problem> problem; ///< its own: compiled side by side
  std::vector<Choice> choices;
  std::vector<std::string> declarations; ///< of choices: equal ones are one
  std::vector<double> scores; ///< log of the ratio; NaN: failed; inf: not known
  std::unique_ptr<Strategy> strategy; ///< made when first asked
  size_t measured = 0;
  bool exhausted = false;

  double best() const {
    double least = 0;
    for (double score : scores)
      if (!std::isnan(score))
        least = std::min(least, score);
    return std::exp(-least);
  }
};

struct Session::Tuned {
  Task task;
  std::vector<std::unique_ptr<Search>> searches;
};

Session::Session(Measurer &measurer, const Target &target, Setting setting,
                 SessionOptions given, SessionEvents events)
    : measurer(measurer), target(target), setting(std::move(setting)),
      options(std::move(given)), events(std::move(events)),
      start(std::chrono::steady_clock::now()) {
  if (!options.jobs)
    options.jobs = std::max(1u, std::thread::hardware_concurrency());
}

Session::~Session() = default;

double Session::secondsLeft() const {
  std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - start;
  return options.budgetSeconds - spent.count();
}

Error Session::add(const Task &task, const std::vector<Measurement> &known) {
  auto tuned = std::make_unique<Tuned>();
  tuned->task = task;
  for (Phase phase : phases) {
    const double share = task.share[phase == Phase::One ? 0 : 1];
    if (share <= 0)
      continue;
    auto search = std::make_unique<Search>();
    search->phase = phase;
    search->weight = share;
    Expected<std::unique_ptr<Problem>> problem =
        Problem::create(task.kernel, target);
    if (!problem)
      return problem.takeError();
    search->problem = std::move(*problem);
    search->choices = search->problem->space().choices(phase);
    for (const Choice &choice : search->choices)
      search->declarations.push_back(
          search->problem->declaration(phase, choice));
    search->scores.assign(search->choices.size(), INFINITY);
    for (size_t i = 0; i < search->choices.size(); ++i)
      if (search->declarations[i] == search->declarations[0])
        search->scores[i] = 0; // the preset against itself
    for (const Measurement &m : known)
      if (m.kernel == task.kernel && m.phase == phase && m.setting == setting)
        if (auto it = llvm::find(search->choices, m.choice);
            it != search->choices.end() && it != search->choices.begin())
          tell(*search, size_t(it - search->choices.begin()), m.outcome);
    tuned->searches.push_back(std::move(search));
  }
  tasks.push_back(std::move(tuned));
  return Error::success();
}

/// Equal kernels are told together: choices may differ in what does not count.
void Session::tell(Search &search, size_t index, const Outcome &outcome) {
  const double score = outcome.status == Status::Measured
                           ? std::log(outcome.ratio)
                           : std::nan("");
  ++search.measured;
  for (size_t i = 1; i < search.choices.size(); ++i)
    if (search.declarations[i] == search.declarations[index]) {
      search.scores[i] = score;
      if (search.strategy)
        search.strategy->tell(i, score);
    }
}

/// By shares of the steps, and a part for each alike, unless it is much more
/// than the share.
Session::Search *Session::mostWanted(const std::vector<Search *> &except) {
  Search *chosen = nullptr;
  double most = -1;
  for (auto &tuned : tasks)
    for (auto &search : tuned->searches) {
      const size_t underWay = llvm::is_contained(except, search.get());
      if (search->exhausted || underWay || search->measured >= options.most)
        continue;
      const double alike =
          std::min(1.0 / double(tasks.size()), 4 * search->weight);
      const double wanted =
          (search->weight + alike) / double(search->measured + 1);
      if (wanted > most) {
        most = wanted;
        chosen = search.get();
      }
    }
  return chosen;
}

/// "linear", "attention": their parameters mean the same.
static StringRef familyOf(const Problem &problem) {
  return StringRef(problem.space().kernel).split(' ').first;
}

Error Session::measureBatch() {
  struct Candidate {
    Search *search;
    size_t index;
    Prepared prepared;
  };
  std::vector<Search *> searches;
  std::vector<Candidate> batch;
  while (batch.size() < options.jobs) {
    Search *search = mostWanted(searches);
    if (!search)
      break;
    if (!search->strategy) {
      std::vector<Point> points;
      const Space &space = search->problem->space();
      for (const Choice &choice : search->choices)
        points.push_back(pointOf(space, search->phase, choice));
      // What was learned of the other kernels of this phase.
      std::vector<Observation> related;
      for (auto &tuned : tasks)
        for (auto &other : tuned->searches)
          for (size_t i = 0; i < other->choices.size(); ++i)
            if (other->phase == search->phase && other.get() != search &&
                familyOf(*other->problem) == familyOf(*search->problem) &&
                std::isfinite(other->scores[i]) && related.size() < 120) {
              Observation seen{pointOf(other->problem->space(), other->phase,
                                       other->choices[i]),
                               other->scores[i]};
              if (seen.point.size() == points[0].size())
                related.push_back(std::move(seen));
            }
      search->strategy =
          makeStrategy(options.strategy, std::move(points),
                       options.seed + tasks.size(), std::move(related));
      for (size_t i = 0; i < search->scores.size(); ++i)
        if (!std::isinf(search->scores[i]))
          search->strategy->tell(i, search->scores[i]);
    }
    std::optional<size_t> next = search->strategy->next();
    if (!next) {
      search->exhausted = true;
      continue;
    }
    searches.push_back(search);
    batch.push_back({search, *next, {}});
  }
  std::vector<std::thread> threads;
  for (Candidate &candidate : batch)
    threads.emplace_back([&] {
      Search &search = *candidate.search;
      candidate.prepared = measurer.prepare(
          *search.problem, search.phase, search.choices[candidate.index],
          options.measure, std::max<unsigned>(1, options.jobs / batch.size()));
    });
  for (std::thread &thread : threads)
    thread.join();
  for (Candidate &candidate : batch) {
    Search &search = *candidate.search;
    Outcome outcome = measurer.run(candidate.prepared, options.measure);
    if (outcome.status == Status::Interrupted)
      return Error::success();
    if (outcome.status == Status::Lost)
      return makeError("device {} is lost: {}", measurer.device.name(),
                       outcome.message);
    tell(search, candidate.index, outcome);
    const std::string &kernel = search.problem->space().kernel;
    if (events.measured)
      events.measured({setting, kernel, search.phase,
                       search.choices[candidate.index], outcome});
    if (events.progress)
      events.progress({kernel, search.phase, search.measured,
                       search.choices.size() - 1, search.best(), outcome,
                       secondsLeft()});
  }
  return Error::success();
}

/// For each layout the best kernels of both phases; the best few of those, and
/// in the preset's layout one token's alone.
std::vector<Choice> Session::winners(Tuned &tuned) const {
  const Space &space = tuned.searches[0]->problem->space();
  auto shared = [&](const Choice &choice) {
    Choice both;
    for (const Parameter &parameter : space.parameters)
      if (parameter.changes(Phase::One) && parameter.changes(Phase::Many))
        both[parameter.name] = choice.at(parameter.name);
    return both;
  };
  struct Joint {
    Choice choice;
    double score = 0;
    size_t parts = 0;
  };
  std::map<Choice, Joint> joints;
  for (auto &search : tuned.searches) {
    std::map<Choice, size_t> best;
    for (size_t i = 0; i < search->choices.size(); ++i)
      if (std::isfinite(search->scores[i])) {
        auto [it, fresh] = best.emplace(shared(search->choices[i]), i);
        if (!fresh && search->scores[i] < search->scores[it->second])
          it->second = i;
      }
    for (auto &[layout, index] : best) {
      Joint &joint = joints[layout];
      if (joint.choice.empty())
        joint.choice = space.preset();
      for (const Parameter &parameter : space.parameters)
        if (parameter.changes(search->phase))
          joint.choice[parameter.name] =
              search->choices[index].at(parameter.name);
      joint.score += search->scores[index];
      ++joint.parts;
    }
  }
  std::vector<Joint> sorted;
  for (auto &[layout, joint] : joints)
    if (joint.parts == tuned.searches.size() &&
        joint.choice != space.preset() && joint.score < 0)
      sorted.push_back(joint);
  llvm::sort(sorted,
             [](const Joint &a, const Joint &b) { return a.score < b.score; });
  std::vector<Choice> choices;
  for (const Joint &joint : ArrayRef(sorted).take_front(2))
    choices.push_back(joint.choice);
  const Choice preset = space.preset();
  for (const Joint &joint : sorted) {
    Choice alone = joint.choice;
    if (shared(alone) != shared(preset))
      continue;
    for (const Parameter &parameter : space.parameters)
      if (!parameter.changes(Phase::One))
        alone[parameter.name] = preset.at(parameter.name);
    if (alone != preset && !llvm::is_contained(choices, alone))
      choices.push_back(alone);
  }
  return choices;
}

/// The speed-up, measured for longer; 0 for a candidate that failed now.
Expected<double> Session::measureAgain(Tuned &tuned, Phase phase,
                                       const Choice &choice,
                                       std::optional<int64_t> tokens) {
  MeasureOptions longer = options.measure;
  if (tokens)
    longer.tokens = *tokens;
  longer.seconds *= 3;
  Problem &problem = *tuned.searches[0]->problem;
  Prepared prepared =
      measurer.prepare(problem, phase, choice, longer, options.jobs);
  Outcome outcome = measurer.run(prepared, longer);
  if (outcome.status == Status::Lost)
    return makeError("device {} is lost: {}", measurer.device.name(),
                     outcome.message);
  return outcome.status == Status::Measured ? 1 / outcome.ratio : 0;
}

Error Session::confirm(Tuned &tuned) {
  const std::string &kernel = tuned.task.kernel;
  TuningRecord best;
  for (const Choice &choice : winners(tuned)) {
    double speedup[2] = {0, 0}, logGain = 0;
    bool fine = true;
    for (auto &search : tuned.searches) {
      const int p = search->phase == Phase::One ? 0 : 1;
      Expected<double> again = measureAgain(tuned, search->phase, choice);
      if (!again)
        return again.takeError();
      speedup[p] = *again;
      fine &= *again > 1 / mostLoss;
      logGain += fine ? std::log(*again) : 0;
      Problem &problem = *search->problem;
      if (!fine || search->phase == Phase::One ||
          problem.declaration(Phase::Many, choice) ==
              problem.declaration(Phase::Many, problem.space().preset()))
        continue;
      Expected<double> few =
          measureAgain(tuned, Phase::Many, choice, shortTokens);
      if (!few)
        return few.takeError();
      fine &= *few > 1 / mostShortLoss;
    }
    const double gain = std::exp(logGain / double(tuned.searches.size()));
    if (!fine || gain < leastGain || gain <= best.gain)
      continue;
    best = {kernel,
            setting.target,
            setting.features,
            setting.cpu,
            cpuFamily(setting.cpu),
            setting.version,
            choice,
            speedup[0],
            speedup[1],
            gain,
            setting.source};
  }
  if (best.gain > 1 && events.won)
    events.won(best);
  if (best.gain <= 1 && events.lost)
    events.lost(kernel);
  return Error::success();
}

Error Session::run(const volatile bool &stop) {
  start = std::chrono::steady_clock::now();
  const double reserve =
      options.confirm ? options.budgetSeconds * confirming : 0;
  while (!stop && secondsLeft() > reserve && mostWanted({}))
    if (Error error = measureBatch())
      return error;
  if (options.confirm)
    for (auto &tuned : tasks)
      if (!tuned->searches.empty())
        if (Error error = confirm(*tuned))
          return error;
  return Error::success();
}

} // namespace lfmc::tune
