// SPDX-License-Identifier: Apache-2.0
//
// What the kernel families share: the machine's vector shape and pinned
// buffers. Private to codegen/halide.
#ifndef LFMC_CODEGEN_HALIDE_FAMILY_H
#define LFMC_CODEGEN_HALIDE_FAMILY_H

#include "codegen/halide/Params.h"

#include <Halide.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace lfmc::halide {

/// Element types of stored values, as the integer parameters spell them.
enum class Storage { F32 = 0, BF16 = 1, F16 = 2, Q8 = 3 };

/// The named parameter as a storage type; `allowed` lists the accepted ones.
Storage storageParam(const Params &params, const std::string &name,
                     std::initializer_list<Storage> allowed);

/// An f32 value as it is stored: rounded to nearest, ties to even.
Halide::Expr storedAs(Halide::Expr value, Storage storage);

/// How a target multiplies 8-bit integers.
enum class Dot {
  Unsigned, // four u8 * i8 added to an i32 (x86 VNNI)
  Signed,   // four i8 * i8 added to an i32 (Arm), and wherever nothing is known
  Pairs     // two u8 * i8 added to an i16 with saturation (x86 maddubs)
};

/// What schedules need to know of a target.
struct Machine {
  int lanes;     // f32 values in a vector register
  int registers; // vector registers
  Dot dot;
};

Machine machineOf(const Halide::Target &target);

/// A software prefetch of an input that one loop streams through. Halide's own
/// directive walks each region in an inner loop, at a stride of its own choice.
struct Prefetch {
  std::string buffer, loop;      // argument's name; the loop's variable
  Halide::Type type;             // of the buffer
  int elementsPerIteration = 0;  // of each stream
  int bytesAhead = 0;            // 0: no prefetch
  std::vector<int> streams = {}; // first element of each
};

/// A second view of an input's memory, with another element type. It is no
/// argument of its own.
struct Alias {
  Halide::ImageParam view;
  std::string of; // the input's name
};

/// A kernel as Halide sees it. `inputs` and `scalars` in call order.
struct Pipeline {
  std::vector<Halide::ImageParam> inputs;
  std::vector<Halide::Func> outputs;
  std::vector<Halide::Param<int32_t>> scalars;
  std::vector<Prefetch> prefetches = {};
  std::vector<Alias> aliases = {};
};

/// One family: its name, the arguments for given parameters, its builder.
struct Family {
  const char *name;
  std::vector<Argument> (*arguments)(const Params &params);
  Pipeline (*build)(const Params &params, const Machine &machine);
};

const std::vector<Family> &familyTable();

/// One dimension of a buffer argument, in elements.
struct Dim {
  int extent, stride;
};

/// An input whose minima are 0 and whose extents and strides are constants, so
/// that generated code reads nothing but `host` of its halide_buffer_t.
Halide::ImageParam input(const std::string &name, Halide::Type type,
                         const std::vector<Dim> &dims);

/// The same for an output.
void pinOutput(Halide::Func &func, const std::vector<Dim> &dims);

/// The largest power of two that divides `extent` and is at most `lanes`.
int dividingLanes(int extent, int lanes);

/// Computes `acc` (of rows, tokens, panels, …) in passes of `tileRows` of its
/// `rows` rows, so that a pass keeps its sums in registers; `sums` (row, token,
/// panel) reads the finished ones and collects them.
void inPasses(Halide::Func &acc, Halide::Func &sums, int tileRows, int rows,
              int vector);

/// Vectorizes `var`, which covers [0, extent), by the widest vector that is no
/// longer than the loop; a remainder is predicated.
template <typename Stage, typename Variable>
void vectorizeLoop(Stage stage, Variable var, int extent, int lanes) {
  while (lanes > extent)
    lanes /= 2;
  if (lanes > 1)
    stage.vectorize(var, lanes, Halide::TailStrategy::GuardWithIf);
}

/// Arguments that a family lists: inputs, outputs, scalars by name.
std::vector<Argument>
argumentList(const std::vector<std::string> &inputs,
             const std::vector<std::string> &outputs,
             const std::vector<std::string> &scalars = {});

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_FAMILY_H
