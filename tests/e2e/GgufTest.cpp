// SPDX-License-Identifier: Apache-2.0
//
// GGUF files through the command line: the packages are those of the checkpoint
// that they were made of.
#include "Shell.h"

#include "codegen/pack/Quantize.h"
#include "frontend/Checkpoint.h"
#include "frontend/Gguf.h"
#include "tests/frontend/GgufBuilder.h"

#include <cstring>
#include <functional>

using namespace lfmc;
using nlohmann::json;

namespace {

using TypeOf = std::function<DType(const std::string &tensor)>;

std::string ggufName(const std::string &name) {
  static const std::pair<const char *, const char *> names[] = {
      {"model.embed_tokens", "token_embd"},
      {"model.embedding_norm", "token_embd_norm"},
      {"model.layers", "blk"},
      {"operator_norm", "attn_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.out_proj", "attn_output"},
      {"self_attn.q_layernorm", "attn_q_norm"},
      {"self_attn.k_layernorm", "attn_k_norm"},
      {"feed_forward.w1", "ffn_gate"},
      {"feed_forward.w2", "ffn_down"},
      {"feed_forward.w3", "ffn_up"},
      {".conv.", ".shortconv."}};
  std::string result = name;
  for (auto [from, to] : names)
    if (size_t at = result.find(from); at != std::string::npos)
      result.replace(at, strlen(from), to);
  return result;
}

/// `values` as blocks of 32 of Q4_0 or Q8_0.
std::string blocksOf(const std::vector<float> &values, int bits) {
  std::string data;
  for (size_t i = 0; i < values.size(); i += 32) {
    int8_t codes[32];
    pack::BlockScale scale;
    EXPECT_TRUE(pack::quantizeBlock(&values[i], {32, bits}, codes, scale));
    data += GgufBuilder::raw(scale.scale);
    if (bits == 8)
      data.append(reinterpret_cast<char *>(codes), 32);
    else
      for (int j = 0; j < 16; ++j)
        data += char((codes[j] + 8) | (codes[j + 16] + 8) << 4);
  }
  return data;
}

GgufBuilder::Tensor encode(const Checkpoint &from, const std::string &name,
                           DType type) {
  const TensorInfo &info = *from.find(name);
  llvm::ArrayRef<uint8_t> bytes = from.bytes(name);
  GgufBuilder::Tensor tensor;
  tensor.name = ggufName(name);
  for (int64_t dim : llvm::reverse(info.shape))
    if (tensor.dims.size() != 1 || dim != 1) // taps: [H, 1, K] is [H, K]
      tensor.dims.push_back(dim);
  if (info.shape.size() != 2) // norms and taps
    type = DType::F32;
  std::vector<float> values(info.numElements());
  EXPECT_EQ(info.dtype, DType::BF16);
  pack::convert(pack::Format::BF16, bytes.data(), pack::Format::F32,
                reinterpret_cast<uint8_t *>(values.data()), values.size());
  switch (type) {
  case DType::BF16:
    tensor.type = 30;
    tensor.data.assign(bytes.begin(), bytes.end());
    break;
  case DType::Q4_0:
    tensor.type = 2;
    tensor.data = blocksOf(values, 4);
    break;
  case DType::Q8_0:
    tensor.type = 8;
    tensor.data = blocksOf(values, 8);
    break;
  default:
    tensor.type = 0;
    tensor.data.assign(reinterpret_cast<char *>(values.data()),
                       values.size() * sizeof(float));
  }
  return tensor;
}

void addTokenizer(GgufBuilder &file, const std::string &directory) {
  json tokenizer = json::parse(readFile(directory + "/tokenizer.json"));
  std::vector<std::string> tokens(tokenizer["model"]["vocab"].size()), merges;
  std::vector<int32_t> types(tokens.size(), 1);
  for (const auto &[text, id] : tokenizer["model"]["vocab"].items())
    tokens[id.get<size_t>()] = text;
  for (const json &token : tokenizer["added_tokens"])
    types[token["id"].get<size_t>()] = 3;
  for (const json &merge : tokenizer["model"]["merges"])
    merges.push_back(merge.is_string() ? merge.get<std::string>()
                                       : merge[0].get<std::string>() + " " +
                                             merge[1].get<std::string>());
  file.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "lfm2");
  file.add("tokenizer.ggml.tokens", tokens);
  file.add("tokenizer.ggml.token_type", types);
  file.add("tokenizer.ggml.merges", merges);
  file.add("tokenizer.ggml.bos_token_id", uint32_t(1));
  file.add("tokenizer.ggml.eos_token_id", uint32_t(7));
  file.add("tokenizer.ggml.padding_token_id", uint32_t(0));
  file.add("tokenizer.chat_template",
           readFile(directory + "/chat_template.jinja"));
}

/// Writes the bf16 checkpoint `directory` as the GGUF file `path`.
void writeGguf(const std::string &path, const std::string &directory,
               const TypeOf &typeOf) {
  auto from = Checkpoint::open(directory);
  ASSERT_TRUE(bool(from)) << llvm::toString(from.takeError());
  const ModelConfig &config = from->config();
  GgufBuilder file;
  auto number = [&](const char *key, int64_t value) {
    file.add(std::string("lfm2.") + key, uint32_t(value));
  };
  std::vector<int32_t> kv;
  for (LayerType type : config.layerTypes)
    kv.push_back(type == LayerType::Conv ? 0 : config.numKvHeads);
  file.add("general.architecture", "lfm2");
  file.add("lfm2.attention.head_count_kv", kv);
  number("vocab_size", config.vocabSize);
  number("block_count", config.numLayers);
  number("context_length", config.maxPositionEmbeddings);
  number("embedding_length", config.hiddenSize);
  number("feed_forward_length", config.ffnWidth);
  number("attention.head_count", config.numHeads);
  number("shortconv.l_cache", config.convTaps);
  file.add("lfm2.attention.layer_norm_rms_epsilon", float(config.normEps));
  file.add("lfm2.rope.freq_base", float(config.ropeTheta));
  addTokenizer(file, directory);
  for (const ExpectedTensor &tensor : expectedTensors(config))
    file.tensors.push_back(encode(*from, tensor.name, typeOf(tensor.name)));
  std::ofstream(path, std::ios::binary) << file.bytes();
}

class Gguf : public testing::Test {
protected:
  const std::string directory = checkpoint("dense-a-bf16");
  const std::filesystem::path root = Sandbox::get().root;

  std::string gguf(const std::string &name, const TypeOf &typeOf) {
    std::string path = (root / (name + ".gguf")).string();
    writeGguf(path, directory, typeOf);
    return path;
  }
  std::string compiled(const std::string &model, const std::string &name,
                       const std::string &options = "") {
    std::string package = (root / name).string();
    Outcome outcome = runLfmc("compile " + model + " -o " + package +
                              " --name m --max-context 256 " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    remarks = outcome.err;
    return package;
  }

  std::string remarks;
};

TEST_F(Gguf, GivesThePackageOfTheDirectory) {
  std::string file = gguf("dense", [](auto &) { return DType::BF16; });
  std::string a = compiled(file, "a"), b = compiled(directory, "b");
  EXPECT_EQ(remarks, "");
  Outcome same = shell("diff -r " + a + " " + b);
  EXPECT_EQ(same.code, 0) << same.out;

  std::string text = "Once upon a time,\n<|im_start|>user\n", goldens;
  Outcome tokens = runLfmc("tokenize --special " + directory, text);
  EXPECT_EQ(tokens.code, 0) << tokens.err;
  EXPECT_EQ(runLfmc("tokenize --special " + file, text).out, tokens.out);
  EXPECT_EQ(runLfmc("inspect " + file).code, 0);
}

TEST_F(Gguf, IsNamedAndCachedAsAFile) {
  std::string file = gguf("Dense-2.5-F32", [](auto &) { return DType::F32; });
  std::string package = (root / "named").string();
  ASSERT_EQ(
      runLfmc("compile " + file + " -o " + package + " --max-context 64").code,
      0);
  EXPECT_TRUE(std::filesystem::exists(package + "/Dense_2_5_F32.weights"));
  std::string run = " --max-context 64 -n 4 --temp 0 --prompt ";
  Outcome first = runLfmc("run " + file + run + "So");
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(runLfmc("run " + package + " -n 4 --temp 0 --prompt So").out,
            first.out);
}

// Codes and scales of the file are those of the package: rounding the original
// weights here gives the same bytes.
TEST_F(Gguf, KeepsTheBitsOfQ4AndQ8) {
  for (auto [type, scheme] :
       {std::pair(DType::Q4_0, "q4"), {DType::Q8_0, "q8"}}) {
    std::string name = scheme;
    std::string file = gguf(name, [type = type](auto &) { return type; });
    std::string a = compiled(file, name + "a");
    EXPECT_EQ(remarks, "");
    std::string b =
        compiled(directory, name + "b",
                 "--quantizer nearest --quant " + name + ",head=" + name);
    json manifest = json::parse(readFile(a + "/m.json"));
    EXPECT_EQ(manifest["weights_id"],
              json::parse(readFile(b + "/m.json"))["weights_id"]);
    EXPECT_TRUE(readFile(a + "/m.weights") == readFile(b + "/m.weights"));
    Outcome run = runLfmc("run " + a + " -n 4 --temp 0 --prompt So");
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(run.out, runLfmc("run " + b + " -n 4 --temp 0 --prompt So").out);
  }
}

TEST_F(Gguf, StacksTakeTheWidestOfTheirTypes) {
  std::string file = gguf("mixed", [](const std::string &tensor) {
    bool wide = tensor.find("v_proj") != std::string::npos ||
                tensor.find("embed_tokens") != std::string::npos;
    return wide ? DType::Q8_0 : DType::Q4_0;
  });
  std::string package = compiled(file, "mixed");
  json manifest = json::parse(readFile(package + "/m.json"));
  int stacks = 0;
  for (const json &weight : manifest["weights"]) {
    std::string name = weight["name"];
    bool isWide = name == "embed" || name.find("qkv") != std::string::npos;
    bool isNarrow = name.find("in_proj") != std::string::npos ||
                    name.find("w13") != std::string::npos;
    stacks += isWide;
    if (isWide || isNarrow)
      EXPECT_EQ(weight["format"].get<std::string>().substr(0, 2),
                isWide ? "q8" : "q4")
          << weight;
  }
  EXPECT_EQ(stacks, 3) << manifest["weights"];
  EXPECT_EQ(remarks, "") << "codes of Q4_0 fit q8";
  EXPECT_EQ(runLfmc("run " + package + " -n 4 --prompt So").code, 0);
  // What the command line asks for counts.
  compiled(file, "wanted", "--weights f32");
  compiled(file, "rounded", "--quant q4,head=q6");
  EXPECT_NE(remarks.find("1 tensors of type Q8_0 are rounded to q6"),
            std::string::npos)
      << remarks;
}

TEST_F(Gguf, NamesTheBadElement) {
  std::string file = gguf("bad", [](auto &) { return DType::Q8_0; });
  auto header = readGguf(file);
  ASSERT_TRUE(bool(header)) << llvm::toString(header.takeError());
  std::string bytes = readFile(file);
  for (const TensorInfo &info : header->tensors)
    if (info.name == "blk.2.attn_k.weight") // the scale of block 9, row 1
      bytes.replace(info.begin + 34 * 9, 2, "\x01\x7c");
  std::ofstream(file, std::ios::binary) << bytes;
  Outcome outcome =
      runLfmc("compile " + file + " -o " + (root / "bad").string());
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("tensor 'blk.2.attn_k.weight' in " + file +
                             ": expected finite elements, found nan at "
                             "[1, 32]"),
            std::string::npos)
      << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(root / "bad"));
}

} // namespace
