// SPDX-License-Identifier: Apache-2.0
//
// lfmc bench: what its reports hold. No test depends on how fast anything is.
#include "Shell.h"

#include <nlohmann/json.hpp>

#include <map>
#include <set>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

TEST(Bench, Measures) {
  std::string model = LFMC_EXAMPLES "/lfm2-small-dense";
  Outcome bench = runLfmc("bench --json --prefill 16,40 --decode 8 --repeat 2 "
                          "--depth 0,100 --step 2,8 " +
                          model);
  ASSERT_EQ(bench.code, 0) << bench.err;
  json report = json::parse(bench.out);
  ASSERT_EQ(report["prefill"].size(), 2u);
  EXPECT_EQ(report["prefill"][1]["tokens"], 40);
  ASSERT_EQ(report["decode"].size(), 2u);
  EXPECT_EQ(report["decode"][0]["depth"], 0);
  EXPECT_EQ(report["decode"][1]["depth"], 100);
  ASSERT_EQ(report["step"].size(), 2u);
  EXPECT_EQ(report["step"][1]["tokens"], 8);
  EXPECT_EQ(report["step"][1]["depth"], 100);
  for (const char *kind : {"prefill", "decode", "step"})
    for (const json &row : report[kind]) {
      EXPECT_GT(row["tokens_per_second"]["min"], 0);
      EXPECT_LE(row["tokens_per_second"]["min"],
                row["tokens_per_second"]["max"]);
      EXPECT_GT(row["share_of_bandwidth"]["median"], 0);
      EXPECT_GT(row["share_of_arithmetic_peak"]["median"], 0);
    }
  EXPECT_EQ(report["notes"].size(), 0u);
  EXPECT_GT(report["roofline"]["read_bytes_per_second"]["median"], 1e8);
  EXPECT_GT(report["roofline"]["operations_per_second"]["median"], 1e9);
  EXPECT_GT(report["rss"]["peak_bytes"], 1 << 20);
  EXPECT_LT(report["rss"]["peak_bytes"], 1 << 30);

  // What a token moves: all weights once (the embedding is the head), the
  // caches so far, its own position and the convolutions' states.
  std::string package = (Sandbox::get().root / "benched").string();
  ASSERT_EQ(runLfmc("compile " + model + " -o " + package).code, 0);
  json manifest = json::parse(runLfmc("inspect --json " + package).out);
  double weights = manifest["work"]["decode_weight_bytes"],
         position = manifest["work"]["decode_cache_bytes_per_position"],
         states = 0;
  for (const json &state : manifest["states"])
    if (state["bytes_per_token"] == 0)
      states += double(state["bytes"]);
  // One token warms up; the eight behind it read 4.5 more on average.
  EXPECT_EQ(report["decode"][1]["bytes"],
            weights + 2 * states + (100 + 1 + 4.5 + 1) * position);
  // Eight tokens in a step read the weights once.
  EXPECT_EQ(report["step"][1]["bytes"],
            weights + 2 * states + (100 + 1 + 8 + 8) * position);
}

TEST(Bench, SaysWhatDoesNotFit) {
  std::string small = tiny() + " --max-context 64";
  Outcome chosen = runLfmc("bench --prefill 100000 " + small);
  expectError(chosen, "prefill 100000 needs a context of 100000");
  expectError(runLfmc("bench --depth 64 " + small), "depth 64");
  Outcome standard =
      runLfmc("bench --no-roofline --repeat 1 --decode 8 " + small);
  EXPECT_EQ(standard.code, 0) << standard.err;
  EXPECT_NE(standard.out.find("left out: prefill 128 needs a context of 128, "
                              "the package has 64"),
            std::string::npos)
      << standard.out;
  EXPECT_NE(standard.out.find("left out: depth 1024"), std::string::npos);
  EXPECT_EQ(standard.out.find("of peak"), std::string::npos);
}

// Every phase that the manifest has is in the profile, and the parts are the
// whole.
TEST(Bench, ProfilesEveryOperation) {
  fs::path root = Sandbox::get().root, svg = root / "profile.svg";
  std::string package = (root / "profiled").string();
  ASSERT_EQ(
      runLfmc("compile " + tiny() + " --max-context 64 -o " + package).code, 0);
  Outcome outcome = runLfmc("bench --profile --json --repeat 3 --threads 2 "
                            "--prefill 40 --depth 20 --svg " +
                            svg.string() + " " + package);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json report = json::parse(outcome.out);
  json manifest = json::parse(runLfmc("inspect --json " + package).out);
  ASSERT_EQ(report["steps"].size(), 2u);
  for (const json &step : report["steps"]) {
    bool prefill = step["step"] == "prefill";
    EXPECT_EQ(step["tokens"], prefill ? 40 : 1);
    EXPECT_EQ(step["depth"], prefill ? 0 : 20);
    std::map<std::string, size_t> phases;
    double sum = step["outside_seconds"];
    EXPECT_GE(sum, 0);
    std::set<std::string> kinds, layers;
    for (const json &phase : step["phases"]) {
      EXPECT_EQ(phase["phase"], phases[phase["function"]]++);
      EXPECT_EQ(phase["runs"], 1);
      kinds.insert(phase["kind"]);
      layers.insert(phase["layer"]);
      for (const char *part : {"work_seconds", "wait_seconds"}) {
        ASSERT_EQ(phase[part].size(), 2u);
        for (const json &seconds : phase[part]) {
          EXPECT_GE(seconds, 0);
          sum += double(seconds) / 2;
        }
      }
    }
    std::vector<std::string> functions = {"decode"};
    if (prefill)
      functions = {"prompt", "prompt_end", "head"};
    EXPECT_EQ(phases.size(), functions.size());
    for (const std::string &function : functions)
      EXPECT_EQ(phases[function],
                manifest["functions"][function]["phases"].size());
    double seconds = step["seconds"];
    EXPECT_NEAR(sum, seconds, 1e-6 * seconds);
    std::set<std::string> wanted = {"attention", "conv", "rope",
                                    "out_proj",  "w2",   "embed"};
    for (const char *kind : {"in_proj", "qkv_proj", "w13", "head"})
      wanted.insert(prefill ? kind : std::string("norm+") + kind);
    if (prefill)
      wanted.insert("norm");
    EXPECT_EQ(kinds, wanted);
    EXPECT_EQ(layers.size(), size_t(manifest["model"]["layers"]) + 2);
    EXPECT_EQ(step["kinds"].size(), kinds.size());
  }
  std::string drawing = readFile(svg);
  EXPECT_EQ(drawing.rfind("<svg ", 0), 0u);
  EXPECT_NE(drawing.find("attention, layer "), std::string::npos);
  EXPECT_NE(drawing.find("</svg>"), std::string::npos);

  Outcome text = runLfmc("bench --profile --prefill 9 " + package);
  EXPECT_EQ(text.code, 0) << text.err;
  for (const char *part :
       {"prefill, 9 tokens", "decode, 1 token behind 0", "barriers"})
    EXPECT_NE(text.out.find(part), std::string::npos) << text.out;
  expectError(runLfmc("bench --profile --depth 64 " + package),
              "the package has 64");
  expectError(
      runLfmc("bench --profile --prefill 9 --svg /no/such/x.svg " + package),
      "/no/such/x.svg");
}

} // namespace
