// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Profile.h"

#include "codegen/package/Manifest.h"
#include "frontend/Errors.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"

#include <numeric>

using namespace llvm;

namespace lfmc::cli {
namespace {

double mean(const std::vector<double> &values) {
  return values.empty() ? 0
                        : std::accumulate(values.begin(), values.end(), 0.0) /
                              double(values.size());
}

// What a call is: a linear by the weight's role, the others by what they do.
std::string kindOf(const Json &call, StringRef generator) {
  StringRef known =
      StringSwitch<StringRef>(generator)
          .Case("rms_norm", "norm")
          .Case("rope_cache", "rope")
          .Case("short_conv", "conv")
          .Case("attention_combine", "attention")
          .Cases({"attention", "embed", "swiglu", "add", "quantize"}, generator)
          .Default("");
  if (!known.empty())
    return known.str();
  for (const Json &buffer : call.at("buffers"))
    if (buffer.at("space") == "weights" && buffer.contains("name")) {
      std::string name = buffer.at("name");
      return name == "embed" ? "head" : name.substr(name.find('.') + 1);
    }
  return generator.str();
}

// Of a call, or -1.
int64_t layerOfCall(const Json &call) {
  for (const Json &buffer : call.at("buffers"))
    if (buffer.contains("name"))
      if (int64_t layer = layerOf(buffer.at("name").get<std::string>());
          layer >= 0)
        return layer;
  std::string location = call.at("location");
  int64_t layer = -1;
  StringRef rest = StringRef(location).split(".layers.").second;
  return rest.consumeInteger(10, layer) ? -1 : layer;
}

} // namespace

double ProfiledPhase::meanWork() const { return mean(work); }
double ProfiledPhase::meanWait() const { return mean(wait); }

std::vector<ProfiledPhase> phasesOf(const Json &manifest) {
  StringMap<std::string> generators;
  for (const Json &kernel : manifest.at("kernels"))
    generators[kernel.at("name").get<std::string>()] = kernel.at("generator");
  std::vector<ProfiledPhase> result;
  for (auto entry :
       {PhaseRecord::Decode, PhaseRecord::Prefill, PhaseRecord::Prompt,
        PhaseRecord::PromptEnd, PhaseRecord::Head}) {
    int32_t index = 0;
    std::string place = entry == PhaseRecord::Head ? "output" : "input";
    auto function = manifest.at("functions").find(entryName(entry));
    if (function == manifest.at("functions").end())
      continue;
    for (const Json &phase : function->at("phases")) {
      ProfiledPhase row{entry, index++, "", "", 0, {}, {}};
      int64_t layer = -1;
      for (const Json &call : phase) {
        row.kind +=
            (row.kind.empty() ? "" : "+") +
            kindOf(call,
                   generators.lookup(call.at("kernel").get<std::string>()));
        layer = std::max(layer, layerOfCall(call));
      }
      if (layer >= 0)
        place = std::to_string(layer);
      else if (place != "input")
        place = "output";
      row.layer = place;
      result.push_back(std::move(row));
    }
  }
  return result;
}

namespace {

// Adds the recorder's times; drops the phases that did not run.
Expected<ProfiledStep> collect(ProfiledStep step, const Recorder &recorder,
                               std::vector<ProfiledPhase> phases, int threads) {
  std::map<std::pair<int, int>, ProfiledPhase *> places;
  for (ProfiledPhase &phase : phases) {
    phase.work.assign(size_t(threads), 0);
    phase.wait.assign(size_t(threads), 0);
    places[{phase.entry, phase.phase}] = &phase;
  }
  for (int thread = 0; thread < threads; ++thread)
    for (const PhaseRecord &record : recorder.records(thread)) {
      auto found = places.find({record.entry, record.phase});
      if (found == places.end())
        return makeError("the program's @{} has a phase {} that its manifest "
                         "does not have",
                         entryName(record.entry), record.phase);
      ProfiledPhase &phase = *found->second;
      phase.runs += thread == 0;
      phase.work[size_t(thread)] += record.arrive - record.begin;
      phase.wait[size_t(thread)] += record.leave - record.arrive;
    }
  step.outside = step.seconds;
  for (ProfiledPhase &phase : phases)
    if (phase.runs) {
      step.outside -= phase.meanWork() + phase.meanWait();
      step.phases.push_back(std::move(phase));
    }
  return step;
}

ProfiledStep medianStep(std::vector<ProfiledStep> steps) {
  llvm::sort(steps, [](const ProfiledStep &a, const ProfiledStep &b) {
    return a.seconds < b.seconds;
  });
  return std::move(steps[(steps.size() - 1) / 2]);
}

} // namespace

Expected<Profile> Profile::measure(const std::string &package,
                                   const ProfileOptions &options) {
  std::unique_ptr<Recorder> recorder; // outlives model and session
  Expected<Model> model = openModel(package, options.read ? LFM_MODEL_READ : 0,
                                    [&](const lfm_program &program) {
                                      recorder =
                                          std::make_unique<Recorder>(program);
                                      return recorder->program();
                                    });
  if (!model)
    return model.takeError();
  int64_t positions =
      std::max(options.prefill, options.depth + options.repeat + 1);
  if (positions > model->info.max_context)
    return makeError("a profile of {} tokens and of one behind {} needs a "
                     "context of {}, the package has {} (compile with "
                     "--max-context)",
                     options.prefill, options.depth, positions,
                     model->info.max_context);
  Expected<Session> session = createSession(*model, options.threads);
  if (!session)
    return session.takeError();
  lfm_session *running = session->get();
  std::vector<int32_t> ids(size_t(positions), 0);
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = int32_t(i * 7919 % size_t(model->info.vocab_size));
  std::vector<float> logits(size_t(model->info.vocab_size));

  Profile profile{
      model->info.name, model->info.target, lfm_session_threads(running), {}};
  std::vector<ProfiledPhase> phases = phasesOf(model->manifest);
  // Takes one repetition; the first of each only warms up.
  std::vector<ProfiledStep> taken;
  auto take = [&](ProfiledStep step, function_ref<lfm_status()> work) -> Error {
    recorder->clear();
    double start = now();
    lfm_status status = work();
    step.seconds = now() - start;
    if (Error error = session->check(status))
      return error;
    Expected<ProfiledStep> collected =
        collect(std::move(step), *recorder, phases, profile.threads);
    if (!collected)
      return collected.takeError();
    taken.push_back(std::move(*collected));
    return Error::success();
  };
  for (int i = 0; i <= options.repeat; ++i) {
    lfm_session_reset(running);
    if (Error error = take({"prefill", options.prefill, 0, 0, 0, {}}, [&] {
          return lfm_session_prefill(running, ids.data(),
                                     size_t(options.prefill), logits.data());
        }))
      return error;
    if (i == 0)
      taken.clear();
  }
  profile.steps.push_back(medianStep(std::move(taken)));
  taken.clear();
  lfm_session_reset(running);
  if (Error error = session->check(lfm_session_prefill(
          running, ids.data(), size_t(options.depth), nullptr)))
    return error;
  for (int i = 0; i <= options.repeat; ++i) {
    if (Error error = take({"decode", 1, options.depth, 0, 0, {}}, [&] {
          return lfm_session_decode(running, ids[size_t(options.depth + i)],
                                    nullptr);
        }))
      return error;
    if (i == 0)
      taken.clear();
  }
  profile.steps.push_back(medianStep(std::move(taken)));
  return profile;
}

} // namespace lfmc::cli
