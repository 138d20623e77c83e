// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Bench.h"

#include "frontend/Errors.h"

namespace lfmc::cli {
namespace {

const char *kindName(BenchRow::Kind kind) {
  switch (kind) {
  case BenchRow::Kind::Prefill:
    return "prefill";
  case BenchRow::Kind::Decode:
    return "decode";
  case BenchRow::Kind::Step:
    return "step";
  }
  return "";
}

std::string mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", double(bytes) / (1 << 20));
}

} // namespace

Json Samples::json() const {
  return {{"median", median()}, {"min", lowest()}, {"max", highest()}};
}

Json Bench::report() const {
  Json json = {{"name", model.info.name},
               {"target", model.info.target},
               {"threads", lfm_session_threads(session.get())},
               {"repeat", options.repeat},
               {"open_seconds", model.openSeconds},
               {"session_seconds", sessionSeconds},
               {"rss",
                {{"peak_bytes", peak},
                 {"anonymous_bytes", anonymous},
                 {"anonymous_bytes_before_open", baseAnonymous},
                 {"file_bytes", file}}},
               {"notes", notes}};
  for (const BenchRow &row : rows) {
    double steps = double(row.times), seconds = row.seconds.median();
    Json line = {
        {"tokens", row.tokens},
        {"depth", row.depth},
        {"tokens_per_second", row.perSecond.json()},
        {"step_seconds", row.seconds.json()},
        {"bytes", row.work.bytes / steps},
        {"bytes_per_second", row.work.bytes / steps / seconds},
        {"operations", row.work.operations / steps},
        {"operations_per_second", row.work.operations / steps / seconds}};
    if (machine) {
      line["share_of_bandwidth"] = row.readShare.json();
      line["share_of_arithmetic_peak"] = row.arithmeticShare.json();
    }
    json[kindName(row.kind)].push_back(line);
  }
  if (machine)
    json["roofline"] = {{"read_bytes_per_second", bandwidth.json()},
                        {"operations_per_second", arithmetic.json()},
                        {"arithmetic", machine->arithmeticName()}};
  return json;
}

std::string Bench::table() const {
  std::string text = fmt::format(
      "{} for {}, {} threads, {} repetitions\n\n"
      "               depth      tok/s       (min .. max)    ms/step"
      "    MB/step   GB/s{}\n",
      model.info.name, model.info.target, lfm_session_threads(session.get()),
      options.repeat, machine ? "  of read  GOP/s  of peak" : "");
  for (const BenchRow &row : rows) {
    double bytes = row.work.bytes / double(row.times),
           operations = row.work.operations / double(row.times),
           seconds = row.seconds.median();
    text += fmt::format(
        "{:<7} {:>6} {:>6} {:>10.2f} {:>18} {:>10.3f} {:>10.1f} "
        "{:>6.1f}",
        kindName(row.kind), row.tokens, row.depth, row.perSecond.median(),
        fmt::format("({:.2f} .. {:.2f})", row.perSecond.lowest(),
                    row.perSecond.highest()),
        1e3 * seconds, bytes / 1e6, bytes / seconds / 1e9);
    if (machine)
      text += fmt::format(
          "  {:>5.1f} % {:>6.0f}  {:>5.1f} %", 100 * row.readShare.median(),
          operations / seconds / 1e9, 100 * row.arithmeticShare.median());
    text += "\n";
  }
  text += "\n";
  if (machine)
    text += fmt::format(
        "machine  {:.1f} GB/s read ({:.1f} .. {:.1f}), {:.0f} GOP/s {} ({:.0f} "
        ".. {:.0f})\n",
        bandwidth.median() / 1e9, bandwidth.lowest() / 1e9,
        bandwidth.highest() / 1e9, arithmetic.median() / 1e9,
        machine->arithmeticName(), arithmetic.lowest() / 1e9,
        arithmetic.highest() / 1e9);
  text += fmt::format("start    open {:.2f} ms, session {:.2f} ms\n",
                      1e3 * model.openSeconds, 1e3 * sessionSeconds);
  text += fmt::format("memory   peak {}; anonymous {} ({} before opening), "
                      "mapped files {}\n",
                      mib(peak), mib(anonymous), mib(baseAnonymous), mib(file));
  for (const std::string &note : notes)
    text += "left out: " + note + "\n";
  return text;
}

} // namespace lfmc::cli
