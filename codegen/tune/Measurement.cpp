// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Measurement.h"

#include "frontend/Errors.h"
#include "frontend/Json.h"

using namespace llvm;

namespace lfmc::tune {

std::string measurementLine(const Measurement &m) {
  const Outcome &o = m.outcome;
  nlohmann::ordered_json json = {{"kernel", m.kernel},
                                 {"phase", phaseName(m.phase).str()},
                                 {"target", m.setting.target},
                                 {"features", m.setting.features},
                                 {"cpu", m.setting.cpu},
                                 {"version", m.setting.version},
                                 {"source", m.setting.source},
                                 {"choice", m.choice},
                                 {"status", statusName(o.status).str()},
                                 {"message", o.message},
                                 {"ratio", o.ratio},
                                 {"candidate_ns", o.candidateNs},
                                 {"preset_ns", o.presetNs},
                                 {"drift", o.drift},
                                 {"ghz", {o.gigahertz[0], o.gigahertz[1]}},
                                 {"threads", o.threads},
                                 {"tokens", o.tokens}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

static Expected<Measurement> parseMeasurement(StringRef line) {
  Expected<nlohmann::json> parsed = parseJson(line, "measurement");
  if (!parsed)
    return parsed.takeError();
  try {
    const nlohmann::json &json = *parsed;
    Measurement m;
    m.kernel = json.at("kernel");
    const std::string phase = json.at("phase");
    if (phase != "one" && phase != "many")
      return makeError("expected the phase one or many, found {}",
                       inQuotes(phase));
    m.phase = phase == "one" ? Phase::One : Phase::Many;
    m.setting = {json.at("target"), json.at("features"), json.at("cpu"),
                 json.at("version"), json.at("source")};
    m.choice = json.at("choice").get<Choice>();
    Outcome &o = m.outcome;
    std::optional<Status> status =
        parseStatus(json.at("status").get<std::string>());
    if (!status)
      return makeError("unknown status {}",
                       inQuotes(json.at("status").get<std::string>()));
    o.status = *status;
    o.message = json.at("message");
    o.ratio = json.at("ratio");
    o.candidateNs = json.at("candidate_ns");
    o.presetNs = json.at("preset_ns");
    o.drift = json.at("drift");
    o.gigahertz[0] = json.at("ghz").at(0);
    o.gigahertz[1] = json.at("ghz").at(1);
    o.threads = json.at("threads");
    o.tokens = json.value("tokens", int64_t(0)); // added later
    if (o.status == Status::Measured && !(o.ratio > 0))
      return makeError("expected a ratio above 0, found {}", o.ratio);
    return m;
  } catch (const nlohmann::json::exception &error) {
    return makeError("expected a measurement: {}", jsonErrorText(error));
  }
}

Expected<TuningLines> parseLines(StringRef text, StringRef where) {
  TuningLines lines;
  Error error = forEachLine(text, where, [&](StringRef line) -> Error {
    if (line.contains("\"phase\"")) {
      Expected<Measurement> found = parseMeasurement(line);
      if (!found)
        return found.takeError();
      lines.measurements.push_back(std::move(*found));
      return Error::success();
    }
    Expected<TuningRecord> record = parseRecord(line);
    if (!record)
      return record.takeError();
    lines.records.push_back(std::move(*record));
    return Error::success();
  });
  if (error)
    return error;
  return lines;
}

} // namespace lfmc::tune
