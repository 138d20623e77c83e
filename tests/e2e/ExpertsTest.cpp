// SPDX-License-Identifier: Apache-2.0
//
// Mixtures of experts on the command line: routing, threads, quantized experts.
#include "Shell.h"

#include <nlohmann/json.hpp>

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
