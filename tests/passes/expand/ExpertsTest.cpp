// SPDX-License-Identifier: Apache-2.0
//
// route and experts: against transformers' choices, and against their formulas.
#include "tests/passes/expand/Support.h"

#include "frontend/Checkpoint.h"

#include <cmath>
#include <cstring>

using namespace lfmc;
using namespace lfmc::test;

namespace {

HostTensor floats(const SafeTensors &file, const std::string &name) {
  const TensorInfo *info = file.find(name);
  if (!info) {
    ADD_FAILURE() << name;
    return {};
  }
  HostTensor tensor(HostTensor::Element::F32, info->shape);
  std::memcpy(tensor.data.data(), file.bytes(*info).data(), info->numBytes());
  return tensor;
}

HostTensor bias(const Checkpoint &checkpoint, int64_t layer) {
  std::string name =
      "model.layers." + std::to_string(layer) + ".feed_forward.expert_bias";
  const TensorInfo *info = checkpoint.find(name);
  llvm::ArrayRef<uint8_t> bytes = checkpoint.bytes(name);
  HostTensor result(HostTensor::Element::F32, info->shape);
  size_t width = info->dtype == DType::F32 ? 4 : 2;
  for (auto [i, value] : llvm::enumerate(result.floats())) {
    uint32_t bits = 0;
    std::memcpy(reinterpret_cast<char *>(&bits) + 4 - width,
                bytes.data() + i * width, width);
    std::memcpy(&value, &bits, 4);
  }
  return result;
}

/// `text` with N for a number of experts.
std::string withExperts(std::string text, int64_t experts) {
  for (size_t at; (at = text.find('N')) != std::string::npos;)
    text.replace(at, 1, std::to_string(experts));
  return text;
}

const char *const routeIr = R"(
  func.func @f(%l: tensor<?xNxf32>, %b: tensor<Nxf32>) -> (tensor<?x4xi32>, tensor<?x4xf32>) {
    %e, %w = lfm2.route %l bias(%b) top 4 normalize scaling 1.0
      : (tensor<?xNxf32>, tensor<Nxf32>) -> (tensor<?x4xi32>, tensor<?x4xf32>)
    return %e, %w : tensor<?x4xi32>, tensor<?x4xf32>
  })";

llvm::ArrayRef<int32_t> ids(const HostTensor &tensor) {
  return {reinterpret_cast<const int32_t *>(tensor.data.data()),
          tensor.data.size() / 4};
}

class Route : public testing::TestWithParam<const char *> {};

// Golden logits in; out come the golden experts, which are listed by descending
// score there, and their weights.
TEST_P(Route, ChoosesAsTransformersDoes) {
  std::string data = LFMC_TEST_DATA, name = GetParam();
  auto goldens = SafeTensors::open(data + "/goldens/" + name + ".safetensors");
  auto checkpoint = Checkpoint::open(data + "/checkpoints/" + name);
  ASSERT_TRUE(bool(goldens) && bool(checkpoint));
  const ModelConfig &config = checkpoint->config();
  ASSERT_LT(config.numDenseLayers, config.numLayers);
  for (int64_t layer = config.numDenseLayers; layer < config.numLayers;
       ++layer) {
    std::string key = "p2.router." + std::to_string(layer) + ".";
    HostTensor logits = floats(*goldens, key + "logits");
    auto found = run(withExperts(routeIr, config.numExperts),
                     {logits, bias(*checkpoint, layer)});
    ASSERT_EQ(found.size(), 2u);
    HostTensor weights = floats(*goldens, key + "weights");
    const TensorInfo *wanted = goldens->find(key + "experts");
    ASSERT_TRUE(wanted && wanted->dtype == DType::I32);
    std::vector<int32_t> experts(wanted->numElements());
    std::memcpy(experts.data(), goldens->bytes(*wanted).data(),
                wanted->numBytes());
    ASSERT_EQ(ids(found[0]).size(), experts.size());
    for (size_t row = 0; row < experts.size(); row += 4) {
      std::vector<std::pair<int32_t, float>> pairs;
      for (size_t i = row; i < row + 4; ++i)
        pairs.push_back({experts[i], weights.floats()[i]});
      llvm::sort(pairs);
      for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(ids(found[0])[row + i], pairs[i].first);
        EXPECT_NEAR(found[1].floats()[row + i], pairs[i].second, 1e-6);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Route,
                         testing::Values("moe-8e-bf16-biasf32",
                                         "moe-32e-bf16"));

// Ties go to the first; not a number must not lead out of range.
TEST(Experts, RouteOfEqualAndOfNoNumbers) {
  HostTensor logits(HostTensor::Element::F32, {3, 8});
  HostTensor none(HostTensor::Element::F32, {8});
  logits.floats()[8 + 6] = 1;
  for (int i = 16; i < 24; i += 2)
    logits.floats()[i] = NAN;
  auto found = run(withExperts(routeIr, 8), {logits, none});
  ASSERT_EQ(found.size(), 2u);
  llvm::ArrayRef<int32_t> chosen = ids(found[0]);
  EXPECT_EQ(chosen.take_front(8),
            (llvm::ArrayRef<int32_t>{0, 1, 2, 3, 0, 1, 2, 6}));
  EXPECT_NEAR(found[1].floats()[0], 0.25, 1e-5);
  for (int32_t expert : chosen.drop_front(8)) {
    EXPECT_GE(expert, 0);
    EXPECT_LT(expert, 8);
  }
}

TEST(Experts, RouteWithoutBiasAndNormalizing) {
  HostTensor logits = random({4, 5}, 1);
  auto found = run(R"(
    func.func @f(%l: tensor<?x5xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
      %e, %w = lfm2.route %l top 2 scaling 3.0 : (tensor<?x5xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>)
      return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
    })",
                   {logits});
  ASSERT_EQ(found.size(), 2u);
  for (size_t i = 0; i < 8; ++i) {
    size_t row = i / 2 * 5;
    int32_t expert = ids(found[0])[i];
    float logit = logits.floats()[row + expert];
    EXPECT_NEAR(found[1].floats()[i], 3 / (1 + std::exp(-logit)), 1e-6);
    EXPECT_LT(llvm::count_if(logits.floats().slice(row, 5),
                             [&](float other) { return other > logit; }),
              2);
  }
}

// Both halves of a block with 3 experts of 5 rows, of which a token takes 2,
// for one token and for several.
TEST(Experts, EqualTheirFormulas) {
  constexpr int width = 5, hidden = 8, experts = 3;
  HostTensor w13 = random({2 * experts * width, hidden}, 2);
  HostTensor w2 = random({experts * hidden, width}, 3);
  for (int64_t tokens : {1, 4}) {
    HostTensor x = random({tokens, hidden}, 4), scales = random({tokens, 2}, 5);
    HostTensor chosen(HostTensor::Element::I32, {tokens, 2});
    std::vector<int32_t> pairs{0, 2, 1, 2, 0, 1, 0, 2};
    std::memcpy(chosen.data.data(), pairs.data(), chosen.data.size());
    std::string ir = R"(
      func.func @f(%x: tensor<Tx8xf32>, %u: tensor<30x8xf32>, %d: tensor<24x5xf32>,
                   %e: tensor<Tx2xi32>, %s: tensor<Tx2xf32>) -> (tensor<Tx10xf32>, tensor<Tx8xf32>) {
        %h = lfm2.experts %x, %u of 3 chosen(%e) scales(%s) {activation = #lfm2.activation<swiglu>}
          : (tensor<Tx8xf32>, tensor<30x8xf32>, tensor<Tx2xi32>, tensor<Tx2xf32>) -> tensor<Tx10xf32>
        %y = lfm2.experts %h, %d of 3 chosen(%e) residual(%x)
          : (tensor<Tx10xf32>, tensor<24x5xf32>, tensor<Tx2xi32>, tensor<Tx8xf32>) -> tensor<Tx8xf32>
        return %h, %y : tensor<Tx10xf32>, tensor<Tx8xf32>
      })";
    for (size_t at; (at = ir.find("<Tx")) != std::string::npos;)
      ir.replace(at + 1, 1, tokens == 1 ? "1" : "?");
    auto found = run(ir, {x, w13, w2, chosen, scales});
    ASSERT_EQ(found.size(), 2u);
    std::vector<double> up(tokens * 2 * width), down(tokens * hidden);
    auto dot = [&](const HostTensor &weight, int64_t row, const double *v,
                   int columns) {
      double sum = 0;
      for (int k = 0; k < columns; ++k)
        sum += double(weight.floats()[row * columns + k]) * v[k];
      return sum;
    };
    for (int64_t t = 0; t < tokens; ++t) {
      std::vector<double> row(x.floats().begin() + t * hidden,
                              x.floats().begin() + (t + 1) * hidden);
      for (int n = 0; n < hidden; ++n)
        down[t * hidden + n] = row[n];
      for (int j = 0; j < 2; ++j) {
        int e = pairs[t * 2 + j];
        double *slot = &up[(t * 2 + j) * width];
        for (int n = 0; n < width; ++n) {
          double gate = dot(w13, e * width + n, row.data(), hidden);
          double other =
              dot(w13, (experts + e) * width + n, row.data(), hidden);
          slot[n] =
              scales.floats()[t * 2 + j] * gate / (1 + std::exp(-gate)) * other;
        }
        for (int n = 0; n < hidden; ++n)
          down[t * hidden + n] += dot(w2, e * hidden + n, slot, width);
      }
    }
    expectNear(found[0], up, 1e-5);
    expectNear(found[1], down, 1e-5);
  }
}

} // namespace
