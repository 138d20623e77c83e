// SPDX-License-Identifier: Apache-2.0
//
// --quant auto on the command line: budgets that are met, budgets that cannot
// be met, and what makes no sense.
#include "Shell.h"

#include <nlohmann/json.hpp>

#include <map>
#include <set>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

fs::path root() { return Sandbox::get().root; }

Outcome compile(const std::string &name, const std::string &options) {
  return runLfmc("compile " + checkpoint("dense-b-bf16") +
                 " --name m --max-context 64 -o " + (root() / name).string() +
                 " " + options);
}

json manifestOf(const std::string &name) {
  return json::parse(readFile(root() / name / "m.json"));
}

// The bytes of all tensors that come from the checkpoint.
uint64_t tensorBytes(const json &manifest) {
  uint64_t sum = 0;
  for (const json &weight : manifest["weights"])
    if (!weight["sources"].empty())
      sum += weight["bytes"].get<uint64_t>();
  return sum;
}

uint64_t bytesOfAll(const std::string &kind) {
  Outcome outcome =
      compile("all-" + kind, "--quant " + kind + "/32 --calibrate none");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return tensorBytes(manifestOf("all-" + kind));
}

TEST(AutoQuant, StaysWithinTheBytes) {
  uint64_t low = bytesOfAll("q4"), high = bytesOfAll("q8");
  ASSERT_LT(low, high);
  uint64_t target = (low + high) / 2;
  fs::path plot = root() / "plot.svg";
  Outcome outcome =
      compile("mixed", "--quant auto --target-bytes " + std::to_string(target) +
                           " --report " + plot.string());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json manifest = manifestOf("mixed"), mix = manifest["mix"];
  EXPECT_LE(tensorBytes(manifest), target);
  EXPECT_EQ(mix["tensor_bytes"], tensorBytes(manifest));
  EXPECT_EQ(mix["target_bytes"], target);
  EXPECT_EQ(mix["calibration"]["text"], "self");

  // Both q4 and what is better are in it, as the schemes say.
  std::map<std::string, std::string> kinds;
  for (const json &group : mix["groups"])
    for (const json &name : group["weights"])
      kinds[name] = group["chosen"];
  std::set<std::string> formats;
  for (const json &weight : manifest["weights"]) {
    if (weight["group"].is_null())
      continue;
    std::string format = weight["format"], kind = kinds.at(weight["name"]);
    formats.insert(format);
    if (kind == "keep")
      EXPECT_EQ(format, "bf16");
    else
      EXPECT_EQ(format, kind.substr(0, kind.find('/')));
  }
  EXPECT_GE(formats.size(), 2u);

  // Measured is near predicted, and the plot shows both.
  double predicted = mix["predicted"]["topk_kl"],
         measured = mix["measured"]["topk_kl"];
  EXPECT_GT(measured, 0);
  EXPECT_LT(measured, 10 * predicted);
  std::string svg = readFile(plot);
  EXPECT_EQ(svg.rfind("<svg", 0), 0u);
  EXPECT_NE(svg.find("measured: " + std::to_string(tensorBytes(manifest))),
            std::string::npos);
  EXPECT_NE(outcome.out.find("embed"), std::string::npos);

  // Fewer bytes diverge more, in every point of the curve.
  for (size_t i = 1; i < mix["curve"].size(); ++i) {
    EXPECT_GT(mix["curve"][i][0], mix["curve"][i - 1][0]);
    EXPECT_LT(mix["curve"][i][1], mix["curve"][i - 1][1]);
  }

  // The same by hand is the same package, but for the record of it.
  std::string schemes;
  for (const json &scheme : mix["schemes"])
    schemes += (schemes.empty() ? "" : ",") + scheme.get<std::string>();
  ASSERT_EQ(compile("by-hand", "--quant '" + schemes + "'").code, 0);
  EXPECT_EQ(manifestOf("by-hand")["weights_id"], manifest["weights_id"]);
}

TEST(AutoQuant, StaysWithinTheDivergence) {
  Outcome outcome = compile("close", "--quant auto --max-kl 0.0005");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json manifest = manifestOf("close");
  EXPECT_LE(manifest["mix"]["measured"]["topk_kl"].get<double>(), 0.0005);
  EXPECT_EQ(manifest["mix"]["max_kl"], 0.0005);
}

TEST(AutoQuant, SaysTheLeastThatCanBeMet) {
  Outcome outcome = compile("tiny", "--quant auto --target-bytes 10");
  EXPECT_EQ(outcome.code, 1);
  size_t at = outcome.err.find("take at least ");
  ASSERT_NE(at, std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(root() / "tiny"));
  uint64_t least = std::stoull(outcome.err.substr(at + 14));
  std::string exactly = std::to_string(least);
  EXPECT_EQ(compile("least", "--quant auto --target-bytes " + exactly).code, 0);
  EXPECT_EQ(tensorBytes(manifestOf("least")), least);
}

TEST(AutoQuant, RefusesWhatMakesNoSense) {
  for (const char *options :
       {"--quant auto", "--target-bytes 1000000", "--max-kl 1",
        "--quant q4 --report x.svg", "--quant auto,q4 --target-bytes 1000000",
        "--quant auto --target-bytes 1000000 --max-kl 1",
        "--quant auto --target-bytes many", "--quant auto --target-bytes -1",
        "--quant auto --target-bytes 0", "--quant auto --max-kl 0",
        "--quant auto --max-kl nan", "--quant auto --max-kl inf",
        "--quant auto --max-kl 1 --emit lfm2"}) {
    Outcome outcome = compile("senseless", options);
    EXPECT_EQ(outcome.code, 2) << options << ": " << outcome.err;
    EXPECT_NE(outcome.err.find("lfmc: error: "), std::string::npos) << options;
    EXPECT_FALSE(fs::exists(root() / "senseless")) << options;
  }
  Outcome text =
      compile("senseless", "--quant auto --max-kl 1 --calibrate /no/such/text");
  EXPECT_EQ(text.code, 1);
  EXPECT_NE(text.err.find("/no/such/text"), std::string::npos) << text.err;
  Outcome run =
      runLfmc("run " + checkpoint("dense-b-bf16") + " --quant auto --prompt x");
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("lfmc compile"), std::string::npos) << run.err;
}

} // namespace
