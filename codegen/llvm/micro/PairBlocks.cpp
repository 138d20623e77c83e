// SPDX-License-Identifier: Apache-2.0
//
// linear_q with "pairs" and no "group": tokens on weights that wide_panel has
// unpacked, by vpmaddubsw. Blocks of 32 columns keep their scales and exact
// sums, so that a token has the bits that it has alone; the f32 sums wait on
// the stack. Products are added up in 16 bits as far as they fit: of 4 bits
// over the block, of 6 bits two of them. Two products of 8 bits only fit where
// activations are "limited" (codegen/halide/Quantize.cpp): 255 * 128 < 2^15.
//
// A panel of `rows` rows is, block by block,
//   codes   u8 [8][rows][4]
//   scales  f32 [rows]
//   minima  f32 [rows] (q4m)
#include "codegen/llvm/micro/PairKernel.h"

#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/IntrinsicsX86.h"

using namespace llvm;

namespace lfmc {

using halide::activationBlock;

namespace {

constexpr int64_t steps = activationBlock / 4;
constexpr int64_t mostBlocks = 8; // whose codes stay in L1 for all tokens

class PairBlocks : PairKernel {
public:
  PairBlocks(LinearQ &kernel, int64_t lanes)
      : PairKernel(kernel, lanes), summed(q.layout.isQ8()   ? 1
                                          : q.layout.isQ6() ? 2
                                                            : steps),
        loaded(vectors * (summed == steps ? 1 : summed)),
        // Besides sums and codes there are a broadcast, a product and ones.
        together(dividing(tokens, (registers() - 3 - loaded) / vectors)),
        blockBytes(pairBlockBytes(rows, q.layout.hasMinimum())) {}
  void build();

private:
  std::string assembly() const;
  Values products(Value *codes, Value *x);
  void block(Value *panel, Value *index, Value *first, int64_t firstRow);

  const int64_t summed;   ///< products in 16 bits
  const int64_t loaded;   ///< registers of codes
  const int64_t together; ///< tokens whose sums are in registers
  const int64_t blockBytes;
};

/// The products of a block. Operands: the sums [token][vector], which are the
/// first registers, then the pointers to codes and x. In registers the codes of
/// `summed` steps follow (all eight: of one at a time), then those of a token,
/// a product, ones.
std::string PairBlocks::assembly() const {
  const int64_t outputs = together * vectors;
  const int64_t at = summed == steps ? 1 : summed;
  const std::string x = vector(outputs + loaded);
  const std::string product = vector(outputs + loaded + 1);
  const std::string ones = vector(outputs + loaded + 2);
  std::string text;
  auto line = [&](const std::string &instruction) {
    text += instruction + "\n";
  };
  // Two instructions, and no memory.
  if (lanes == 16)
    line(fmt::format("vpternlogd $$255, {0}, {0}, {0}", ones));
  else
    line(fmt::format("vpcmpeqw {0}, {0}, {0}", ones));
  line(fmt::format("vpsrlw $$15, {0}, {0}", ones));
  for (int64_t step = 0; step < steps; step += at) {
    for (int64_t i = 0; i < at; ++i)
      for (int64_t v = 0; v < vectors; ++v)
        line(fmt::format("vmovdqu{} {}(${}), {}", lanes == 16 ? "64" : "",
                         (step + i) * rows * 4 + v * lanes * 4, outputs,
                         vector(outputs + i * vectors + v)));
    for (int64_t t = 0; t < together; ++t)
      for (int64_t v = 0; v < vectors; ++v) {
        const std::string sum = vector(t * vectors + v);
        auto broadcast = [&](int64_t i, const std::string &to) {
          line(fmt::format("vpbroadcastd {}(${}), {}",
                           t * q.shape.xStride + (step + i) * 4, outputs + 1,
                           to));
        };
        auto multiply = [&](int64_t i, const std::string &to) {
          line(fmt::format("vpmaddubsw {}, {}, {}", x,
                           vector(outputs + i * vectors + v), to));
        };
        auto add = [&](const char *type, const std::string &to) {
          line(fmt::format("vpadd{} {}, {}, {}", type, product, to, to));
        };
        if (v == 0 || at > 1)
          broadcast(0, x);
        if (summed == steps) {
          multiply(0, step ? product : sum);
          if (step)
            add("w", sum);
          continue;
        }
        multiply(0, product);
        for (int64_t i = 1; i < at; ++i) {
          broadcast(i, x);
          multiply(i, x);
          line(fmt::format("vpaddw {}, {}, {}", x, product, product));
        }
        line(fmt::format("vpmaddwd {}, {}, {}", ones, product,
                         step ? product : sum));
        if (step)
          add("d", sum);
      }
  }
  if (summed == steps)
    for (int64_t i = 0; i < outputs; ++i)
      line(fmt::format("vpmaddwd {0}, {1}, {1}", ones, vector(i)));
  return text;
}

/// Sums of codes times activations of tokens from `x`: [token][vector].
Values PairBlocks::products(Value *codes, Value *x) {
  const int64_t outputs = together * vectors;
  std::string constraints;
  for (int64_t i = 0; i < outputs; ++i)
    constraints += "=&" + constraint(i) + ",";
  constraints += "r,r,";
  for (int64_t i = outputs; i < outputs + loaded + 3; ++i)
    constraints += "~" + constraint(i) + ",";
  SmallVector<Type *> types(size_t(outputs), integers);
  Type *result =
      outputs == 1 ? integers : StructType::get(b.getContext(), types);
  auto *type = FunctionType::get(result, {b.getPtrTy(), b.getPtrTy()},
                                 /*isVarArg=*/false);
  Value *results = b.CreateCall(
      InlineAsm::get(type, assembly(), constraints + "~{memory},~{flags}",
                     /*hasSideEffects=*/true),
      {codes, x});
  if (outputs == 1)
    return {results};
  Values found;
  for (int64_t i = 0; i < outputs; ++i)
    found.push_back(b.CreateExtractValue(results, unsigned(i)));
  return found;
}

/// Block `index` of the panel for tokens from `first`.
void PairBlocks::block(Value *panel, Value *index, Value *first,
                       int64_t firstRow) {
  Value *codes = w.at(panel, index, blockBytes);
  auto perToken = [&](Value *start, int64_t bytes, int64_t token) {
    Value *from = w.at(w.at(start, index, bytes), first, q.shape.xStride);
    return w.at(from, token * q.shape.xStride);
  };
  Values products = this->products(w.at(codes, firstRow * 4),
                                   perToken(q.xq, activationBlock, 0));
  const int64_t offset = q.layout.isQ8() ? 128 : q.layout.offset();
  const bool minimum = q.layout.hasMinimum();
  auto ofRows = [&](int64_t number, int64_t v) {
    const int64_t at = rows * (activationBlock + number * 4);
    return w.load(floats, w.at(codes, at + (firstRow + v * lanes) * 4));
  };
  for (int64_t t = 0; t < together; ++t) {
    Value *scale = q.broadcast(perToken(q.xs, 4, t), lanes);
    Value *xsum = b.CreateVectorSplat(
        lanes, w.load(b.getInt32Ty(), perToken(q.xsum, 4, t)));
    Value *start = nullptr, *total = nullptr;
    if (offset) // the sums of 32 codes fit 16 bits
      start = w.intrinsic(lanes == 16 ? Intrinsic::x86_avx512_pmaddw_d_512
                                      : Intrinsic::x86_avx2_pmadd_wd,
                          {xsum, w.all(integers, 0x10000 - offset)});
    if (minimum)
      total = b.CreateFMul(b.CreateSIToFP(xsum, floats), scale);
    for (int64_t v = 0; v < vectors; ++v) {
      Value *memory = w.at(sums(first, firstRow + v * lanes), t * rows * 4);
      Value *product = products[size_t(t * vectors + v)];
      if (start)
        product = b.CreateAdd(product, start);
      product = b.CreateFMul(b.CreateSIToFP(product, floats), scale);
      Value *sum = q.accumulate(w.load(floats, memory), product, ofRows(0, v));
      if (total)
        sum = q.accumulate(sum, total, ofRows(1, v));
      w.store(sum, memory);
    }
  }
}

void PairBlocks::build() {
  startSums();
  const int64_t inPart = dividing(q.blocks(), mostBlocks);
  w.loop(q.blocks() / inPart, [&](Value *part) {
    for (int64_t row = 0; row < rows; row += q.shape.tileRows)
      w.loop(tokens / together, [&](Value *number) {
        Value *first = b.CreateMul(number, w.index(together));
        w.loop(inPart, [&](Value *within) {
          Value *index =
              b.CreateAdd(b.CreateMul(part, w.index(inPart)), within);
          block(q.weights, index, first, row);
        });
      });
  });
  finishSums();
}

} // namespace

void buildPairBlocks(LinearQ &kernel, int64_t lanes) {
  PairBlocks(kernel, lanes).build();
}

} // namespace lfmc
