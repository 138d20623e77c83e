// SPDX-License-Identifier: Apache-2.0
//
// Argument lists, error messages, and the forms of output.
#include "tests/codegen/halide/Harness.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace lfmc::halide::test {
namespace {

using ::testing::HasSubstr;

const char *target = "x86-64-linux-sse41-avx-avx2-f16c-fma";

MicroKernel smallest(const std::string &family) {
  MicroKernel kernel{family, {}, {}};
  if (family == "linear")
    kernel.ints = {{"rows", 8}, {"k", 8}};
  else if (family == "embed")
    kernel.ints = {{"rows", 8}, {"width", 8}};
  else if (family == "rms_norm" || family == "add" || family == "swiglu")
    kernel.ints = {{"width", 8}};
  else if (family == "linear_q")
    kernel.ints = {{"rows", 8}, {"k", 32}};
  else if (family == "embed_q")
    kernel.ints = {{"rows", 8}, {"width", 32}};
  else if (family == "quantize" || family == "rms_norm_quantize")
    kernel.ints = {{"width", 32}};
  else if (family == "short_conv" || family == "short_conv_push")
    kernel.ints = {{"channels", 8}};
  else if (family == "attention_block")
    kernel.ints = {{"dim", 8}, {"block", 16}};
  else
    kernel.ints = {{"dim", 8}};
  if (family == "rms_norm" || family == "rms_norm_quantize")
    kernel.doubles["eps"] = 1e-5;
  if (family == "attention_block")
    kernel.doubles["scale"] = 1;
  return kernel;
}

struct Files : ::testing::Test {
  std::filesystem::path folder;
  void SetUp() override {
    std::string pattern =
        std::filesystem::temp_directory_path() / "lfmc_contract_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string emitTo(const MicroKernel &kernel, Emit what,
                     const std::string &name, const std::string &isa = target) {
    return emit(kernel, "kernel_symbol", isa, what, folder / name);
  }
  std::string read(const std::string &name) {
    std::ifstream in(folder / name, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
};

std::string signature(const MicroKernel &kernel) {
  std::string text;
  for (const Argument &argument : arguments(kernel))
    text += argument.name + (argument.kind == Argument::Output   ? "! "
                             : argument.kind == Argument::Scalar ? "# "
                                                                 : " ");
  return text;
}

TEST(MicroKernelArguments, FollowTheParameters) {
  MicroKernel linear = smallest("linear");
  EXPECT_EQ(signature(linear), "x w y! ");
  linear.ints["residual"] = linear.ints["bias"] = 1;
  EXPECT_EQ(signature(linear), "x w bias res y! ");
  EXPECT_EQ(signature(smallest("attention_block")),
            "q k v m_in l_in acc_in m! l! acc! limit# ");
  MicroKernel rope = smallest("rope");
  EXPECT_EQ(signature(rope), "x table y! ");
  rope.ints["norm"] = 1;
  EXPECT_EQ(signature(rope), "x g table y! ");
  MicroKernel linearQ = smallest("linear_q");
  EXPECT_EQ(signature(linearQ), "xq xs xsum w y! ");
  linearQ.ints["residual"] = linearQ.ints["bias"] = 1;
  EXPECT_EQ(signature(linearQ), "xq xs xsum w bias res y! ");
  EXPECT_EQ(signature(smallest("quantize")), "x q! scale! sum! ");
  EXPECT_EQ(signature(smallest("rms_norm_quantize")), "x g q! scale! sum! ");
  EXPECT_EQ(signature(smallest("embed_q")), "w y! lane# ");
  EXPECT_EQ(signature({"no_such_family", {}, {}}), "");
}

TEST_F(Files, EveryFamilyCompilesForEveryIsa) {
  for (const std::string &family : families())
    for (const Isa &isa : allIsas()) {
      SCOPED_TRACE(family + " " + isa.name);
      EXPECT_EQ(emitTo(smallest(family), Emit::Object, "k.o", isa.target), "");
      EXPECT_EQ(read("k.o").substr(0, 4), "\x7f"
                                          "ELF");
    }
}

TEST_F(Files, OtherArchitecturesCompile) {
  for (const char *other : {"arm-64-linux", "arm-64-android", "arm-64-ios"})
    for (const std::string &family : families()) {
      SCOPED_TRACE(family + " " + other);
      EXPECT_EQ(emitTo(smallest(family), Emit::Object, "k.o", other), "");
    }
}

TEST_F(Files, TextFormsNameTheSymbol) {
  EXPECT_EQ(emitTo(smallest("add"), Emit::Assembly, "k.s"), "");
  EXPECT_THAT(read("k.s"), HasSubstr("kernel_symbol:"));
  EXPECT_EQ(emitTo(smallest("add"), Emit::LlvmText, "k.ll"), "");
  EXPECT_THAT(read("k.ll"), HasSubstr("@kernel_symbol("));
  EXPECT_EQ(emitTo(smallest("add"), Emit::Stmt, "k.stmt"), "");
  EXPECT_THAT(read("k.stmt"), HasSubstr("kernel_symbol"));
}

TEST_F(Files, OneTokenPrefetchesItsWeights) {
  // Several panels, and not the first kernel of the process.
  MicroKernel kernel = smallest("linear");
  kernel.ints["panels"] = 2;
  kernel.ints["k"] = 64;
  for (int tokens : {4, 1}) {
    kernel.ints["tokens"] = tokens;
    EXPECT_EQ(emitTo(kernel, Emit::Assembly, "k.s"), "");
    EXPECT_EQ(read("k.s").find("prefetch") != std::string::npos, tokens == 1);
  }
  kernel.ints["prefetch"] = 0;
  EXPECT_EQ(emitTo(kernel, Emit::Assembly, "k.s"), "");
  EXPECT_EQ(read("k.s").find("prefetch"), std::string::npos);
}

TEST_F(Files, WidestRegistersAreUsed) {
  MicroKernel kernel = smallest("linear");
  kernel.ints["rows"] = 16;
  EXPECT_EQ(
      emitTo(kernel, Emit::Assembly, "k.s", "x86-64-linux-avx512_skylake"), "");
  EXPECT_THAT(read("k.s"), HasSubstr("zmm"));
  EXPECT_EQ(emitTo(kernel, Emit::Assembly, "k.s"), "");
  EXPECT_THAT(read("k.s"), HasSubstr("ymm"));
  EXPECT_THAT(read("k.s"), HasSubstr("vfmadd"));
}

TEST_F(Files, SameKernelSameObject) {
  for (const std::string &family : families()) {
    EXPECT_EQ(emitTo(smallest(family), Emit::Object, "a.o"), "");
    EXPECT_EQ(emitTo(smallest(family), Emit::Object, "b.o"), "");
    EXPECT_TRUE(read("a.o") == read("b.o")) << family;
  }
}

TEST_F(Files, ErrorsNameFamilyAndParameter) {
  EXPECT_EQ(emitTo({"conv9", {}, {}}, Emit::Object, "k.o"),
            "unknown microkernel family 'conv9'");
  EXPECT_EQ(emitTo({"linear", {{"rows", 8}}, {}}, Emit::Object, "k.o"),
            "microkernel 'linear': parameter 'k' is missing");
  EXPECT_EQ(
      emitTo({"linear", {{"rows", 0}, {"k", 8}}, {}}, Emit::Object, "k.o"),
      "microkernel 'linear': parameter 'rows' is 0, expected 1 to "
      "1073741824");
  MicroKernel kernel = smallest("linear");
  kernel.ints["tokns"] = 4;
  EXPECT_EQ(emitTo(kernel, Emit::Object, "k.o"),
            "microkernel 'linear': unknown parameter 'tokns' (value 4)");
  kernel = smallest("linear");
  kernel.ints["wtype"] = 1;
  kernel.ints["k"] = 7;
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"), HasSubstr("must be even"));
  kernel = smallest("rope");
  kernel.ints["ytype"] = 1;
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"), HasSubstr("'ytype' is 1"));
  kernel = smallest("rms_norm");
  kernel.doubles.clear();
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"),
              HasSubstr("'eps' is missing"));
  kernel = smallest("attention_block");
  kernel.ints["block"] = 20;
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"),
              HasSubstr("'block' must be a multiple of 'lanes'"));
  kernel = smallest("linear_q");
  kernel.ints["block"] = 48;
  EXPECT_EQ(emitTo(kernel, Emit::Object, "k.o"),
            "microkernel 'linear_q': parameter 'block' is 48, expected 32, 64 "
            "or 128");
  kernel.ints["block"] = 64;
  EXPECT_EQ(emitTo(kernel, Emit::Object, "k.o"),
            "microkernel 'linear_q': parameter 'k' is 32, expected a multiple "
            "of the block of 64 columns");
  kernel = smallest("linear_q");
  kernel.ints["depth"] = 2;
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"),
              HasSubstr("'depth' is 2, expected 4"));
  kernel = smallest("linear_q");
  kernel.ints["wtype"] = 2;
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"),
              HasSubstr("'wtype' is 2, expected 3 to 6"));
  kernel = smallest("linear_q");
  kernel.ints["x_stride_bytes"] = 42;
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"),
              HasSubstr("'x_stride_bytes' must be a multiple of 4"));
  kernel = smallest("quantize");
  kernel.ints["width"] = 40;
  EXPECT_THAT(emitTo(kernel, Emit::Object, "k.o"),
              HasSubstr("'width' must be a multiple of 32"));
  EXPECT_THAT(emitTo(smallest("add"), Emit::Object, "k.o", "z80-cpm"),
              HasSubstr("unknown Halide target 'z80-cpm'"));
  EXPECT_THAT(emitTo(smallest("add"), Emit::Object, "no/such/folder/k.o"),
              HasSubstr("no/such/folder/k.o"));
}

} // namespace
} // namespace lfmc::halide::test
