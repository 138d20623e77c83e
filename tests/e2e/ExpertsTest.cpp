// SPDX-License-Identifier: Apache-2.0
//
// Mixtures of experts on the command line: routing, threads, quantized experts.
#include "Shell.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

class Experts : public testing::Test {
protected:
  const fs::path root = Sandbox::get().root;
  const std::string model = checkpoint("moe-8e-bf16-biasf32");
  const std::string text = (root / "text.txt").string();

  void SetUp() override {
    std::ofstream out(text);
    for (int i = 0; i < 60; ++i)
      out << "Line " << i << " of a text that says nothing.\n";
  }
  std::string compiled(const std::string &name, const std::string &flags) {
    std::string package = (root / name).string();
    Outcome outcome = runLfmc("compile " + model + " -o " + package +
                              " --max-context 256 --calibrate none " + flags);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return package;
  }
};

TEST_F(Experts, RoutingIsATableAndAMap) {
  std::string package = compiled("routing", "--prefill 64");
  std::string svg = (root / "map.svg").string();
  std::string inspect = "inspect " + package + " --routing " + text;
  Outcome found = runLfmc(inspect + " --json --svg " + svg);
  ASSERT_EQ(found.code, 0) << found.err;
  json routing = json::parse(found.out);
  int64_t tokens = routing["tokens"];
  ASSERT_EQ(routing["layers"].size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const json &layer = routing["layers"][i];
    EXPECT_EQ(layer["layer"], 2 + int(i));
    ASSERT_EQ(layer["uses"].size(), 8u);
    int64_t total = 0;
    for (int64_t uses : layer["uses"]) {
      EXPECT_LE(uses, tokens + tokens / 255 + 1); // each once, and each start
      total += uses;
    }
    int64_t runs = (tokens + 254) / 255;
    EXPECT_EQ(total, 4 * (tokens + runs));
    EXPECT_GT(double(layer["balance"]), 0.2);
  }
  std::string map = readFile(svg);
  size_t cells = 0;
  for (size_t at = 0; (at = map.find("<title>", at)) != std::string::npos; ++at)
    ++cells;
  EXPECT_EQ(cells, 24u);

  Outcome table = runLfmc(inspect);
  EXPECT_EQ(table.code, 0);
  EXPECT_NE(table.out.find("\n    4 "), std::string::npos) << table.out;
  expectError(runLfmc("inspect " + tiny() + " --routing " + text),
              "has no experts");
  expectError(runLfmc("inspect " + package + " --routing /none"), "/none");
}

// The same bits with any number of threads.
TEST_F(Experts, ThreadsChangeNothing) {
  for (const char *flags : {"", "--quant q8"}) {
    std::string package = compiled("threads", flags);
    std::string eval = "eval --json --runs 2 --length 120 --text " + text + " ";
    Outcome one = runLfmc(eval + package + " --threads 1");
    ASSERT_EQ(one.code, 0) << one.err;
    for (const char *threads : {"2", "3", "7"})
      EXPECT_EQ(runLfmc(eval + package + " --threads " + threads).out, one.out)
          << threads << flags;
  }
}

// How many tokens of the calibration each expert has seen is told, kept and
// shown. A token of the text reads 4 of 8 experts of each of 3 layers.
TEST_F(Experts, CalibrationReportsCoverage) {
  std::string package = (root / "calibrated").string();
  std::string compile = "compile " + model + " -o " + package +
                        " --force --max-context 256 --quant experts=q4 ";
  Outcome outcome =
      runLfmc(compile + "--calibrate " + text + " --calibrate-tokens 256");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("calibration of 24 experts in 3 layers: "),
            std::string::npos)
      << outcome.out;
  std::string manifest =
      package + "/" +
      json::parse(runLfmc("inspect --json " + package).out)["name"]
          .get<std::string>() +
      ".json";
  json calibration =
      json::parse(readFile(manifest))["options"]["quantization"]["calibration"];
  ASSERT_EQ(calibration["experts"].size(), 3u);
  for (const json &layer : calibration["experts"]) {
    std::vector<int64_t> tokens = layer["tokens"];
    ASSERT_EQ(tokens.size(), 8u);
    EXPECT_EQ(std::accumulate(tokens.begin(), tokens.end(), int64_t(0)),
              4 * calibration["tokens"].get<int64_t>());
    std::sort(tokens.begin(), tokens.end());
    EXPECT_EQ(layer["least"], tokens.front());
    EXPECT_EQ(layer["median"], tokens[4]);
  }
  Outcome inspected = runLfmc("inspect " + package);
  EXPECT_NE(inspected.out.find("layer  least  median"), std::string::npos);
  // Without calibration there is nothing to say.
  outcome = runLfmc(compile + "--calibrate none");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find("calibration of"), std::string::npos);
}

// Of few tokens most of 32 experts see too few, and some none.
TEST_F(Experts, TooFewTokensAreTold) {
  const std::string brief = (root / "brief.txt").string();
  std::ofstream(brief) << readFile(text).substr(0, 150);
  std::string package = (root / "brief").string();
  Outcome outcome =
      runLfmc("compile " + checkpoint("moe-32e-bf16") + " -o " + package +
              " --name brief --max-context 256 --quant "
              "experts=q4 --calibrate " +
              brief);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("with fewer than 16 tokens are quantized by their "
                             "weights alone"),
            std::string::npos)
      << outcome.out;
  json manifest = json::parse(readFile(package + "/brief.json"));
  for (const json &layer :
       manifest["options"]["quantization"]["calibration"]["experts"]) {
    auto below = [&](int64_t limit) {
      return std::count_if(layer["tokens"].begin(), layer["tokens"].end(),
                           [&](const json &n) { return n < limit; });
    };
    EXPECT_EQ(layer["unseen"], below(1));
    EXPECT_EQ(layer["too_few"], below(16));
    EXPECT_GT(below(16), 10);
  }
}

// On text that it has not seen.
TEST_F(Experts, CalibrationLowersTheDivergence) {
  std::string other = (root / "other.txt").string();
  std::ofstream out(other);
  for (int i = 0; i < 80; ++i)
    out << "What " << i * 7 << " others wrote, and why: nobody knows it.\n";
  out.close();
  auto divergence = [&](const std::string &flags) {
    std::string package = (root / "kld").string();
    Outcome outcome =
        runLfmc("compile " + model + " -o " + package +
                " --force --max-context 256 --quant experts=q4 " + flags);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    outcome = runLfmc("eval --json --length 100 --text " + other +
                      " --reference " + model + " " + package);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out)["kld_mean"].get<double>();
  };
  double alone = divergence("--quantizer search --calibrate none");
  double calibrated = divergence("--calibrate auto");
  RecordProperty("alone", std::to_string(alone));
  RecordProperty("calibrated", std::to_string(calibrated));
  EXPECT_LT(calibrated, 0.9 * alone);
}

// A bound of the experts in memory changes nothing else.
TEST_F(Experts, BoundOfResidentExpertsKeepsTheBits) {
  std::string package = compiled("bounded", "");
  std::string eval =
      "eval --json --runs 2 --length 120 --text " + text + " " + package;
  Outcome all = runLfmc(eval), bounded = runLfmc(eval + " --expert-mib 1");
  ASSERT_EQ(all.code, 0) << all.err;
  EXPECT_EQ(bounded.out, all.out);
  Outcome run = runLfmc("run " + package + " -p 'It is' -n 8 --temp 0");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(
      runLfmc("run " + package + " -p 'It is' -n 8 --temp 0 --expert-mib 1")
          .out,
      run.out);
  expectError(runLfmc("run " + tiny() + " -p x -n 1 --expert-mib 4"),
              "has no experts");
  Outcome both = runLfmc("bench " + package + " --expert-mib 4 --read");
  EXPECT_EQ(both.code, 2);
  EXPECT_NE(both.err.find("--read excludes --expert-mib"), std::string::npos)
      << both.err;
}

TEST_F(Experts, GroupOfExpertsIsQuantizedByName) {
  Outcome other = runLfmc("inspect --json --quant experts=q8 " + model);
  ASSERT_EQ(other.code, 0) << other.err;
  json manifest = json::parse(other.out);
  size_t experts = 0, routers = 0;
  for (const json &weight : manifest["weights"]) {
    std::string name = weight["name"], text = weight.dump();
    bool eight = text.find("\"q8\"") != std::string::npos;
    if (name.find("experts_w13") != std::string::npos) {
      EXPECT_TRUE(eight) << text;
      ++experts;
    } else {
      EXPECT_FALSE(eight) << text; // rows of w2 have 48 columns
    }
    routers += name.find("router") != std::string::npos &&
               text.find("\"f32\"") != std::string::npos;
  }
  EXPECT_EQ(experts, 3u);
  EXPECT_EQ(routers, 3u);
}

} // namespace
