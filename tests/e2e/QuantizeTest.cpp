// SPDX-License-Identifier: Apache-2.0
//
// What quantizing costs the trained model, and a copy of it that computes the
// same with badly scaled channels.
#include "Shell.h"

#include "frontend/SafeTensorsWriter.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

using nlohmann::json;
namespace fs = std::filesystem;
using namespace lfmc;

namespace {

const fs::path example = LFMC_EXAMPLES "/lfm2-small-dense";

/// Powers of two moved between producers and consumers of channels: exact in
/// bf16, and the model's function stays as it is.
class OutlierCheckpoint {
public:
  explicit OutlierCheckpoint(const fs::path &to) {
    fs::copy(example, to);
    SafeTensors from = llvm::cantFail(SafeTensors::open(example.string()));
    std::vector<TensorSpec> specs;
    for (const TensorInfo &info : from.tensors()) {
      specs.push_back({info.name, info.dtype, info.shape});
      llvm::ArrayRef<uint8_t> bytes = from.bytes(info);
      std::vector<uint16_t> &values = tensors[info.name];
      values.resize(bytes.size() / 2);
      std::memcpy(values.data(), bytes.data(), bytes.size());
      shapes[info.name] = info.shape;
    }
    json config = json::parse(readFile(example / "config.json"));
    int64_t layer = 0;
    for (const json &type : config["layer_types"])
      scaleLayer("model.layers." + std::to_string(layer++) + ".",
                 type == "conv", config);
    fs::remove(to / "model.safetensors");
    auto writer = llvm::cantFail(
        SafeTensorsWriter::create((to / "model.safetensors").string(), specs));
    for (const TensorSpec &spec : specs) {
      const std::vector<uint16_t> &values = tensors[spec.name];
      llvm::cantFail(writer->append(
          spec.name, {reinterpret_cast<const uint8_t *>(values.data()),
                      values.size() * 2}));
    }
    llvm::cantFail(writer->finish());
  }

private:
  /// Exponents for `n` channels: one in ten is 4 to 16 times the others.
  std::vector<int> draw(int64_t n) {
    std::vector<int> result(n);
    for (int &exponent : result) {
      double u = random() / 4294967296.0;
      exponent = u < .025 ? 4 : u < .05 ? 3 : u < .1 ? 2 : u < .3 ? 1 : 0;
    }
    return result;
  }

  /// Multiplies the columns by two to the exponents.
  void columns(const std::string &name, const std::vector<int> &exponents) {
    std::vector<uint16_t> &values = tensors.at(name);
    for (size_t i = 0; i < values.size(); ++i)
      multiply(values[i], exponents[i % exponents.size()]);
  }

  /// Divides the rows from `first` on.
  void rows(const std::string &name, int64_t first,
            const std::vector<int> &exponents) {
    std::vector<uint16_t> &values = tensors.at(name);
    int64_t width = int64_t(values.size()) / shapes.at(name)[0];
    for (int64_t i = 0; i < int64_t(exponents.size()) * width; ++i)
      multiply(values[first * width + i], -exponents[i / width]);
  }

  static void multiply(uint16_t &value, int exponent) {
    if (value & 0x7fff)
      value += exponent * 128; // the exponent of bf16
  }

  void scaleLayer(const std::string &base, bool conv, const json &config) {
    int64_t h = config["hidden_size"], heads = config["num_attention_heads"];
    int64_t kv = config["num_key_value_heads"], d = h / heads;
    std::vector<int> s = draw(h);
    rows(base + "operator_norm.weight", 0, s);
    if (conv) {
      columns(base + "conv.in_proj.weight", s);
      std::vector<int> u = draw(h);
      rows(base + "conv.in_proj.weight", h, u);
      columns(base + "conv.out_proj.weight", u);
    } else {
      for (const char *name : {"q", "k", "v"})
        columns(base + "self_attn." + name + "_proj.weight", s);
      std::vector<int> u = draw(kv * d), repeated;
      for (int64_t i = 0; i < h; ++i)
        repeated.push_back(u[i / d / (heads / kv) * d + i % d]);
      rows(base + "self_attn.v_proj.weight", 0, u);
      columns(base + "self_attn.out_proj.weight", repeated);
    }
    s = draw(h);
    rows(base + "ffn_norm.weight", 0, s);
    columns(base + "feed_forward.w1.weight", s);
    columns(base + "feed_forward.w3.weight", s);
    std::vector<int> u = draw(shapes.at(base + "feed_forward.w3.weight")[0]);
    rows(base + "feed_forward.w3.weight", 0, u);
    columns(base + "feed_forward.w2.weight", u);
  }

  std::mt19937 random{5};
  std::map<std::string, std::vector<uint16_t>> tensors;
  std::map<std::string, std::vector<int64_t>> shapes;
};

class Quality : public testing::Test {
protected:
  static void SetUpTestSuite() {
    outlier = Sandbox::get().root / "outlier";
    OutlierCheckpoint make(outlier);
  }

  /// Of some 4000 tokens; null if it fails.
  static json evaluate(const fs::path &model, const std::string &options) {
    Outcome outcome =
        runLfmc("eval " + model.string() + " --runs 8 --json --text " +
                (example / "heldout.txt").string() + " --reference " +
                example.string() + " " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? json::parse(outcome.out) : json();
  }
  static double divergence(const fs::path &model, const std::string &options) {
    json result = evaluate(model, options);
    return result.is_null() ? INFINITY : result["kld_mean"].get<double>();
  }

  static fs::path outlier;
};
fs::path Quality::outlier;

TEST_F(Quality, CalibratedFourBitsHalveTheDivergence) {
  double nearest = divergence(example, "--quant q4 --quantizer nearest");
  double search = divergence(example, "--quant q4 --quantizer search");
  double gptq = divergence(example, "--quant q4");
  EXPECT_LT(nearest, 0.02);
  EXPECT_LT(search, 0.95 * nearest);
  EXPECT_LT(gptq, 0.55 * nearest);
}

TEST_F(Quality, OutliersCostNothingOnceCalibrated) {
  EXPECT_LT(divergence(outlier, ""), 1e-6) << "the same function";
  double nearest = divergence(outlier, "--quant q4 --quantizer nearest");
  EXPECT_GT(nearest, 0.2) << "there is something to show";
  json gptq = evaluate(outlier, "--quant q4");
  ASSERT_FALSE(gptq.is_null());
  EXPECT_LT(gptq["kld_mean"].get<double>(), 0.01);
  EXPECT_LT(gptq["perplexity"].get<double>(),
            1.02 * gptq["reference"]["perplexity"].get<double>());
}

TEST_F(Quality, ATextCalibratesAsWell) {
  fs::path text = Sandbox::get().root / "text.txt";
  std::string words;
  for (int i = 0; i < 400; ++i)
    words += "It was a truth that nobody in the house would have denied. ";
  std::ofstream(text) << words;
  // One sentence again and again is a poor text, and no disaster.
  EXPECT_LT(divergence(example, "--quant q4 --calibrate " + text.string()),
            0.03);
  std::ofstream(text) << "Too short.";
  fs::path out = Sandbox::get().root / "x";
  Outcome outcome =
      runLfmc("compile " + example.string() + " --quant q4 --calibrate " +
              text.string() + " -o " + out.string());
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("expected at least 32"), std::string::npos)
      << outcome.err;
  EXPECT_FALSE(fs::exists(out));
}

TEST(Packages, AreEqualWhateverTheThreads) {
  fs::path root = Sandbox::get().root;
  for (const char *name : {"a", "b"}) {
    Outcome outcome =
        runLfmc("compile " + checkpoint("dense-b-bf16") +
                " --quant q4 --calibrate-tokens 1024 --name m -o " +
                (root / name).string() + (*name == 'a' ? " -j 1" : " -j 2"));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  EXPECT_EQ(readFile(root / "a/m.weights"), readFile(root / "b/m.weights"));
  json quantization =
      json::parse(readFile(root / "a/m.json"))["options"]["quantization"];
  EXPECT_EQ(quantization["quantizer"], "gptq");
  EXPECT_EQ(quantization["calibration"]["text"], "self");
  EXPECT_EQ(quantization["calibration"]["tokens"], 1024);
  EXPECT_EQ(quantization["calibration"]["scaled_channels"], 24);
  for (const auto &entry : fs::directory_iterator(root / "cache"))
    EXPECT_EQ(entry.path().filename().string().find("calibration"),
              std::string::npos)
        << "left behind: " << entry.path();
}

} // namespace
