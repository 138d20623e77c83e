// SPDX-License-Identifier: Apache-2.0
//
// linear_q by AMX: tile products of 16 tokens × 16 rows × 32 columns, exactly
// one activation block. The matrix of activations is read where it lies (a tile
// row is a token's 32 columns); that of weights is the stored layout of depth 4
// ([column / 4][row][4]) in whole bytes: q8 as it lies, others unpacked once
// for all tokens of the call, less their offset, so that products are exact
// without the sums of the activations.
//
// Four blocks at a time: their weights stay in tiles 4 to 7 for all tokens,
// f32 sums wait on the stack. While one sixteen of tokens is multiplied, the
// products of the one before are scaled. docs/kernels.md states the bound.
#include "codegen/llvm/micro/LinearQ.h"

#include "llvm/IR/IntrinsicsX86.h"

using namespace llvm;

namespace lfmc {
namespace {

constexpr int64_t tileRows = 16; // of weights; also tokens of a whole tile
constexpr int64_t groupBlocks = 4;
constexpr int64_t weightTileBytes = 512, productTileBytes = 1024;
constexpr int weightTile = 4;                 // the first of four
constexpr int inputTile = 2, productTile = 0; // the first of two each

class MatrixTile {
public:
  explicit MatrixTile(LinearQ &kernel)
      : q(kernel), layout(kernel.layout), w(*kernel.writer), b(w.b),
        tokens(std::min<int64_t>(q.shape.tokens, tileRows)),
        tiles(q.shape.tokens / tokens) {}
  void build();

private:
  void configure();
  void group(Value *weights, Value *index, int64_t blocks);
  void loadWeights(Value *weights, int64_t block);
  void multiply(Value *index, int64_t tile, int64_t blocks);
  void scale(Value *index, int64_t tile, ArrayRef<Value *> scales,
             ArrayRef<Value *> minima);
  Value *tileNumber(int number) { return b.getInt8(number); }
  Value *stride(int64_t bytes) { return b.getInt64(bytes); }
  Value *products(int64_t tile, int64_t block) {
    return w.at(productMemory,
                (tile % 2 * groupBlocks + block) * productTileBytes);
  }
  Value *sums(int64_t token) { return w.at(sumMemory, token * tileRows * 4); }
  /// Where token `t` of a tile has its values of the group's first block.
  Value *perToken(Value *first, int64_t tile, int64_t t) {
    return w.at(first, (tile * tileRows + t) * q.shape.xStride);
  }

  LinearQ &q;
  const halide::QuantizedLayout &layout;
  MicroWriter &w;
  IRBuilder<> &b;
  const int64_t tokens, tiles; // tokens of a tile
  Value *productMemory, *sumMemory, *codeMemory, *totalMemory;
};

void MatrixTile::configure() {
  // Palette 1; from byte 16 the bytes of a row of each tile, from byte 48 the
  // number of rows.
  std::vector<uint8_t> config(64);
  config[0] = 1;
  auto set = [&](int tile, int64_t rows, int64_t bytes) {
    config[16 + 2 * tile] = uint8_t(bytes);
    config[48 + tile] = uint8_t(rows);
  };
  for (int i : {0, 1}) {
    set(productTile + i, tokens, 64);
    set(inputTile + i, tokens, 32);
  }
  for (int i = 0; i < groupBlocks; ++i)
    set(weightTile + i, 8, 64);
  Module *module = b.GetInsertBlock()->getModule();
  auto *global = new GlobalVariable(
      *module, ArrayType::get(b.getInt8Ty(), 64), /*isConstant=*/true,
      GlobalValue::PrivateLinkage,
      ConstantDataArray::get(b.getContext(), ArrayRef<uint8_t>(config)));
  global->setAlignment(Align(64));
  w.intrinsic(Intrinsic::x86_ldtilecfg, {global});
}

void MatrixTile::loadWeights(Value *weights, int64_t block) {
  const int64_t part = block % q.perBlock();
  Value *start = w.at(weights, block / q.perBlock() * layout.blockBytes());
  Value *low = w.at(start, layout.codesStart() + part * q.lowBytes());
  Value *top = w.at(start, layout.topStart() + part * q.topBytes());
  Value *codes = low;
  if (!layout.isQ8()) {
    codes = w.at(codeMemory, block * weightTileBytes);
    for (int group = 0; group < 8; ++group) {
      Value *value = q.codes(low, top, group, 0, 64);
      w.store(b.CreateSub(value, w.all(value->getType(), layout.offset())),
              w.at(codes, group * 64));
    }
  }
  w.intrinsic(Intrinsic::x86_tileloadd64,
              {tileNumber(weightTile + block), codes, stride(64)});
}

void MatrixTile::multiply(Value *index, int64_t tile, int64_t blocks) {
  Value *x = perToken(w.at(q.xq, index, 32), tile, 0);
  for (int64_t block = 0; block < blocks; ++block) {
    Value *product = tileNumber(productTile + block % 2);
    Value *input = tileNumber(inputTile + block % 2);
    w.intrinsic(Intrinsic::x86_tilezero, {product});
    w.intrinsic(Intrinsic::x86_tileloadd64,
                {input, w.at(x, block * 32), stride(q.shape.xStride)});
    w.intrinsic(Intrinsic::x86_tdpbssd,
                {product, input, tileNumber(weightTile + block)});
    w.intrinsic(Intrinsic::x86_tilestored64,
                {product, products(tile, block), stride(64)});
  }
}

void MatrixTile::scale(Value *index, int64_t tile, ArrayRef<Value *> scales,
                       ArrayRef<Value *> minima) {
  Type *integers = w.vector(b.getInt32Ty(), tileRows);
  Type *floats = w.vector(w.f32(), tileRows);
  Value *xs = w.at(q.xs, index, 4), *xsum = w.at(q.xsum, index, 4);
  for (int64_t t = 0; t < tokens; ++t) {
    Value *sum = w.load(floats, sums(tile * tileRows + t));
    if (!minima.empty()) {
      // Of all blocks at once, by way of memory: each is broadcast from there.
      Value *totals = w.load(w.vector(b.getInt32Ty(), scales.size()),
                             perToken(xsum, tile, t));
      Type *type = w.vector(w.f32(), scales.size());
      w.store(b.CreateFMul(b.CreateSIToFP(totals, type),
                           w.load(type, perToken(xs, tile, t))),
              totalMemory);
    }
    for (size_t block = 0; block < scales.size(); ++block) {
      Value *unit =
          q.broadcast(w.at(perToken(xs, tile, t), block * 4), tileRows);
      Value *product = w.load(integers, w.at(products(tile, block), t * 64));
      sum =
          q.accumulate(sum, b.CreateFMul(b.CreateSIToFP(product, floats), unit),
                       scales[block]);
      if (!minima.empty())
        sum = q.accumulate(sum,
                           q.broadcast(w.at(totalMemory, block * 4), tileRows),
                           minima[block]);
    }
    w.store(sum, sums(tile * tileRows + t));
  }
}

/// Blocks [index, index + blocks) of activations; `weights` points to the block
/// of weights that they begin.
void MatrixTile::group(Value *weights, Value *index, int64_t blocks) {
  const int64_t bytes = blocks * layout.blockBytes() / q.perBlock();
  if (q.shape.prefetch)
    for (int64_t line = 0; line < bytes; line += 64)
      w.prefetch(w.at(weights, line + q.shape.prefetch));
  Values scales, minima;
  for (int64_t block = 0; block < blocks; ++block) {
    loadWeights(weights, block);
    Value *start = w.at(weights, block / q.perBlock() * layout.blockBytes());
    scales.push_back(q.halves(start, tileRows));
    if (layout.hasMinimum())
      minima.push_back(q.halves(w.at(start, tileRows * 2), tileRows));
  }
  multiply(index, 0, blocks);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles)
      multiply(index, tile + 1, blocks);
    scale(index, tile, scales, minima);
  }
}

void MatrixTile::build() {
  productMemory = w.stack(2 * groupBlocks * productTileBytes);
  sumMemory = w.stack(q.shape.tokens * tileRows * 4);
  codeMemory = layout.isQ8() ? nullptr : w.stack(groupBlocks * weightTileBytes);
  totalMemory = w.stack(groupBlocks * 4);
  configure();
  const int64_t groups = q.blocks() / groupBlocks;
  const int64_t rest = q.blocks() % groupBlocks;
  const int64_t groupBytes = groupBlocks * layout.blockBytes() / q.perBlock();
  Value *zero = Constant::getNullValue(w.vector(w.f32(), tileRows));
  w.loop(layout.panels, [&](Value *panel) {
    Value *weights = w.at(q.weights, panel, layout.panelBytes());
    for (int64_t t = 0; t < q.shape.tokens; ++t)
      w.store(zero, sums(t));
    if (groups)
      w.loop(groups, [&](Value *index) {
        group(w.at(weights, index, groupBytes),
              b.CreateMul(index, b.getInt64(groupBlocks)), groupBlocks);
      });
    if (rest)
      group(w.at(weights, groups * groupBytes),
            b.getInt64(groups * groupBlocks), rest);
    for (int64_t t = 0; t < q.shape.tokens; ++t)
      q.finish(w.load(zero->getType(), sums(t)), panel,
               q.res ? w.at(q.res, t * q.shape.resStride * 4) : nullptr,
               w.at(q.y, t * q.shape.yStride * 4));
  });
  w.intrinsic(Intrinsic::x86_tilerelease, {});
}

} // namespace

void buildMatrixTile(LinearQ &kernel) { MatrixTile(kernel).build(); }

} // namespace lfmc
