// SPDX-License-Identifier: Apache-2.0
//
// linear_q of many tokens without VNNI, on weights that wide_panel has
// rewritten for "pairs" (PairPanel.cpp). vpmaddubsw multiplies activations,
// raised by 128, by codes of 4 bits; its results are added up in 16 bits over
// 32 columns, which they just fit: 16 * 8 * 255 < 2^15. vpmaddwd then
// multiplies by what the block's scale is in the group's unit, an integer, so
// that sums stay integers over a group of columns. The f32 sums wait on the
// stack.
//
// A panel of `rows` rows is, group by group,
//   codes   i8 [group / 4][rows][4]; -8 to 7
//   factors i16 [group / 32][rows][2], each twice
//   scales  f32 [rows], of sums of codes times factors
//   starts  i32 [rows]: what sums start with, as activations are raised
//
// Sums of a few tokens in 16 bits and in 32 fill the registers, so that the
// loop is written down with its registers. A group's codes pass from L1 for all
// tokens of the call before the next group's.
#include "codegen/llvm/micro/PairKernel.h"

#include "llvm/IR/InlineAsm.h"

using namespace llvm;

namespace lfmc {

using halide::activationBlock;

namespace {

class PairTile : PairKernel {
public:
  PairTile(LinearQ &kernel, int64_t lanes)
      : PairKernel(kernel, lanes), columns(q.shape.group),
        // Besides two sums for each token and vector there are codes, a
        // broadcast and its product.
        together(
            dividing(tokens, (registers() - 2 - vectors) / (2 * vectors))) {}
  void build();

private:
  std::string assembly() const;
  Values products(Value *codes, Value *x, int64_t firstRow);
  void part(Value *codes, Value *index, Value *first, int64_t firstRow);
  void group(Value *codes, Value *index, int64_t firstRow);

  const int64_t columns;
  const int64_t together; ///< tokens whose sums are in registers
};

/// The loop over the blocks of a group for tokens together. Operands: the
/// 32-bit sums [token][vector], which are the first registers, then the
/// pointers to codes, x and factors, then how many blocks are left. The 16-bit
/// sums follow in registers, then the codes of four columns, those of a token,
/// a product.
std::string PairTile::assembly() const {
  const int64_t words = together * vectors, codes = 2 * words;
  const std::string x = vector(codes + vectors);
  const int64_t product = codes + vectors + 1;
  std::string text = ".p2align 4\n1:\n";
  auto line = [&](const std::string &instruction) {
    text += instruction + "\n";
  };
  auto operand = [&](int64_t number, int64_t offset) {
    return fmt::format("{}(${})", offset, words + number);
  };
  auto load = [&](int64_t number, int64_t start, int64_t v) {
    line(fmt::format("vmovdqu{} {}, {}", lanes == 16 ? "64" : "",
                     operand(number, start + v * lanes * 4),
                     vector(codes + v)));
  };
  for (int64_t step = 0; step < activationBlock / 4; ++step) {
    for (int64_t v = 0; v < vectors; ++v)
      load(0, step * rows * 4, v);
    for (int64_t t = 0; t < together; ++t) {
      line(fmt::format("vpbroadcastd {}, {}",
                       operand(1, t * q.shape.xStride + step * 4), x));
      auto multiply = [&](int64_t v, const std::string &to) {
        line(fmt::format("vpmaddubsw {}, {}, {}", vector(codes + v), x, to));
      };
      auto add = [&](const std::string &from, int64_t v) {
        const std::string sum = vector(words + t * vectors + v);
        line(fmt::format("vpaddw {}, {}, {}", from, sum, sum));
      };
      for (int64_t v = 0; v < vectors; ++v)
        if (step == 0)
          multiply(v, vector(words + t * vectors + v));
        else if (v + 1 < vectors) {
          multiply(v, vector(product));
          add(vector(product), v);
        } else {
          multiply(v, x);
          add(x, v);
        }
    }
  }
  for (int64_t v = 0; v < vectors; ++v)
    load(2, 0, v);
  for (int64_t t = 0; t < together; ++t)
    for (int64_t v = 0; v < vectors; ++v) {
      const int64_t number = t * vectors + v;
      const std::string sum = vector(words + number);
      line(fmt::format("vpmaddwd {}, {}, {}", vector(codes + v), sum, sum));
      line(fmt::format("vpaddd {}, {}, {}", sum, vector(number),
                       vector(number)));
    }
  auto advance = [&](int64_t number, int64_t bytes) {
    line(fmt::format("addq $${}, ${}", bytes, words + number));
  };
  advance(0, rows * activationBlock);
  advance(1, activationBlock);
  advance(2, rows * 4);
  line(fmt::format("decl ${{{}:k}}", words + 3));
  line("jne 1b");
  return text;
}

/// Sums of codes times factors times activations over a group, of tokens from
/// `x`: [token][vector].
Values PairTile::products(Value *codes, Value *x, int64_t firstRow) {
  const int64_t sums = together * vectors;
  const int64_t blocks = columns / activationBlock;
  Value *factors = w.at(codes, rows * columns);
  Value *starts = w.at(factors, rows * (4 * blocks + 4));
  std::string constraints, tied;
  SmallVector<Type *> types;
  Values arguments;
  auto operand = [&](const std::string &where, Value *value) {
    constraints += "=&" + where + ",";
    tied += fmt::format("{},", types.size());
    types.push_back(value->getType());
    arguments.push_back(value);
  };
  for (int64_t i = 0; i < sums; ++i)
    operand(
        constraint(i),
        w.load(integers, w.at(starts, (firstRow + i % vectors * lanes) * 4)));
  operand("r", w.at(codes, firstRow * 4));
  operand("r", x);
  operand("r", w.at(factors, firstRow * 4));
  operand("r", w.index(blocks));
  for (int64_t i = sums; i < 2 * sums + vectors + 2; ++i)
    tied += "~" + constraint(i) + ",";
  auto *type = FunctionType::get(StructType::get(b.getContext(), types), types,
                                 /*isVarArg=*/false);
  Value *results =
      b.CreateCall(InlineAsm::get(type, assembly(),
                                  constraints + tied + "~{memory},~{flags}",
                                  /*hasSideEffects=*/true),
                   arguments);
  Values found;
  for (int64_t i = 0; i < sums; ++i)
    found.push_back(b.CreateExtractValue(results, unsigned(i)));
  return found;
}

/// Group `index` for tokens from `first`.
void PairTile::part(Value *codes, Value *index, Value *first,
                    int64_t firstRow) {
  Value *x = w.at(w.at(q.xq, index, columns), first, q.shape.xStride);
  Value *xs = w.at(w.at(q.xs, index, 4), first, q.shape.xStride);
  Values integers = products(codes, x, firstRow);
  Values scales;
  Value *from = w.at(codes, rows * (columns + columns / 8));
  for (int64_t v = 0; v < vectors; ++v)
    scales.push_back(w.load(floats, w.at(from, (firstRow + v * lanes) * 4)));
  for (int64_t t = 0; t < together; ++t) {
    Value *scale = q.broadcast(w.at(xs, t * q.shape.xStride), lanes);
    for (int64_t v = 0; v < vectors; ++v) {
      Value *memory = w.at(sums(first, firstRow + v * lanes), t * rows * 4);
      Value *product =
          b.CreateSIToFP(integers[size_t(t * vectors + v)], floats);
      w.store(w.fma(b.CreateFMul(product, scale), scales[size_t(v)],
                    w.load(floats, memory)),
              memory);
    }
  }
}

void PairTile::group(Value *codes, Value *index, int64_t firstRow) {
  w.loop(tokens / together, [&](Value *number) {
    part(codes, index, b.CreateMul(number, w.index(together)), firstRow);
  });
}

void PairTile::build() {
  startSums();
  w.loop(q.layout.k / columns, [&](Value *index) {
    Value *codes = w.at(q.weights, index, widePanelBytes(rows, columns, true));
    for (int64_t row = 0; row < rows; row += q.shape.tileRows)
      group(codes, index, row);
  });
  finishSums();
}

} // namespace

void buildPairTile(LinearQ &kernel, int64_t lanes) {
  PairTile(kernel, lanes).build();
}

} // namespace lfmc
