// SPDX-License-Identifier: Apache-2.0
//
// Halide microkernels: small single-threaded functions of static shape, called
// from loops that codegen/llvm emits (registers here, caches and threads
// there).
//
// Every extent and stride is a compile-time constant taken from the kernel's
// parameters. A buffer argument's halide_buffer_t needs only its `host` field
// filled: host points at the first element of the tile, everything else is
// folded into the code. Scalars are passed by value after the buffers of the
// list below, in its order. No function allocates or calls a library function;
// each returns 0. Pointers need no alignment beyond their element's.
//
// The families are (files of this folder state formulas, parameters, layouts):
//   linear            x w [bias] [res] y       Linear.cpp
//   rms_norm          x g y                    RmsNorm.cpp
//   rope              x [g] table y            Rope.cpp
//   copy, add, swiglu x y; a b y; gate up y    Pointwise.cpp
//   short_conv        b cg x w [bias] s y      ShortConv.cpp
//   short_conv_push   b x s                    ShortConv.cpp
//   attention_block   q k v m_in l_in acc_in m l acc, limit   Attention.cpp
//   attention_finish  l acc y                  Attention.cpp
//   embed             w y                      Embed.cpp
//   quantize          x q scale sum            Quantize.cpp
//   rms_norm_quantize x g q scale sum          Quantize.cpp
//   linear_q          xq xs xsum w [bias] [res] y   LinearQ.cpp
//   embed_q           w y, lane                EmbedQ.cpp
//   quads             rows quad                codegen/llvm/micro/Quads.cpp
//   sixteens          rows place               codegen/llvm/micro/Sixteens.cpp
// A token's quantized row is q i8[width], then scale f32[width / 32], then sum
// i32[width / 32]; panels of quantized weights are described in Quantized.h.
// Strides count elements. An unknown or missing parameter is an error. An
// output may be the same memory as an input only in linear and linear_q (y =
// res), add, swiglu and attention_finish (dense), element by element.
#ifndef LFMC_CODEGEN_HALIDE_MICROKERNEL_H
#define LFMC_CODEGEN_HALIDE_MICROKERNEL_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lfmc::halide {

/// A microkernel: family plus parameters. `doubles` holds the few parameters
/// that are no integers ("eps", "scale").
struct MicroKernel {
  std::string family;
  std::map<std::string, int64_t> ints;
  std::map<std::string, double> doubles;
};

/// One argument of the generated C function, in call order.
struct Argument {
  std::string name;
  enum Kind { Input, Output, Scalar } kind; // Scalar: int32_t
};

/// What to write: an object file, assembly text, Halide's lowered statement, or
/// LLVM IR as text.
enum class Emit { Object, Assembly, Stmt, LlvmText };

/// The families, for `lfmc inspect` and the tests.
std::vector<std::string> families();

/// Arguments of `kernel`'s function; empty for an unknown family.
std::vector<Argument> arguments(const MicroKernel &kernel);

/// Compiles `kernel` for the Halide target string `target` (without runtime
/// flags, e.g. "x86-64-linux-sse41-avx-avx2-f16c-fma") to a function named
/// `symbol` and writes `path`. Returns an empty string, or a message that names
/// family and parameter. Thread-safe.
std::string emit(const MicroKernel &kernel, const std::string &symbol,
                 const std::string &target, Emit what, const std::string &path);

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_MICROKERNEL_H
