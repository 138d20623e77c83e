// SPDX-License-Identifier: Apache-2.0
//
// Attention of one cache head over one tile of queries: online softmax over
// blocks of cached positions (Milakov & Gimelshein 2018; Dao 2022), sums and
// maxima on the stack. One token: over one piece of the cache, whose sums and
// maxima a second kernel combines with those of the others.
#include "codegen/llvm/MacroBuilder.h"

#include "dialects/lfm2/Storage.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace lfmc {

namespace {

/// One call of the generator.
class AttentionBuilder {
public:
  AttentionBuilder(MacroBuilder &m, const DeclParams &params,
                   const MacroArgs &args);
  void overTokens();
  void overPieces();

private:
  Value tile(Value t, int64_t tokens, Value begin, Value end, Value first,
             Value second);

  MacroBuilder &m;
  const DeclParams &params;
  const MacroArgs &args;
  const int64_t dim, group, kvHeads, block, window, piece, maxTile, rowBytes;
  int64_t sums; ///< bytes from maxima to sums, and on to the values
  Value head, q, k, v;
};

AttentionBuilder::AttentionBuilder(MacroBuilder &m, const DeclParams &params,
                                   const MacroArgs &args)
    : m(m), params(params), args(args), dim(params["dim"]),
      group(params["group"]), kvHeads(params["kv_heads"]),
      block(params["block"]), window(params["window"]), piece(params["piece"]),
      maxTile(params["tokens"]),
      // Of a head at one position; whole blocks of a quantized cache are as
      // long.
      rowBytes(params["kvtype"] == q8Cache
                   ? lfm2::quantizedHeadBytes(dim)
                   : dim * (params["kvtype"] == 0 ? 4 : 2)) {
  const int64_t headBytes = params["context"] * rowBytes;
  sums = piece ? params["sums"] * 4 : llvm::alignTo(maxTile * group * 4, 64);
  head = m.rem(args.chunk, kvHeads);
  q = m.at(args.pointers[0], head, group * dim * 4);
  k = m.at(args.pointers[1], head, headBytes);
  v = m.at(args.pointers[2], head, headBytes);
}

/// `tokens` queries from t over positions [begin, end), whole blocks but for
/// the last. A step reads one set of maxima, sums and weighted values and
/// writes the other; `first` is read first. Returns the one written last.
Value AttentionBuilder::tile(Value t, int64_t tokens, Value begin, Value end,
                             Value first, Value second) {
  const int64_t qStride = params["q_stride"], rows = tokens * group;
  Value queries = m.at(q, t, qStride * 4);
  Value visible = m.add(m.add(args.pos, t), m.i64(1)); // to the first query
  m.fill(first, rows, -1e30f);
  m.fill(m.at(first, sums), rows, 0);
  m.fill(m.at(first, 2 * sums), rows * dim, 0);
  halide::MicroKernel step{"attention_block",
                           {{"dim", dim},
                            {"group", group},
                            {"tokens", tokens},
                            {"block", block},
                            {"lanes", params["lanes"]},
                            {"q_stride", tokens == 1 ? group * dim : qStride},
                            {"kvtype", params["kvtype"]},
                            {"window", window}},
                           {{"scale", params.real("scale")}}};
  for (const char *name : {"score_registers", "sum_registers"})
    if (params.has(name))
      step.ints[name] = params[name];
  return m.loop(
      begin, end, block, {first, second},
      [&](Value j, ValueRange sets) -> SmallVector<Value> {
        Value in = sets[0], out = sets[1];
        Value keys = m.at(k, j, rowBytes), values = m.at(v, j, rowBytes);
        SmallVector<Value> buffers = {queries, keys, values};
        if (params["kvtype"] == q8Cache)
          buffers.append({m.at(keys, block * dim), m.at(values, block * dim)});
        buffers.append({in, m.at(in, sums), m.at(in, 2 * sums), out,
                        m.at(out, sums), m.at(out, 2 * sums)});
        m.call(step, buffers, {m.toI32(m.sub(visible, j))});
        return {out, in};
      })[0];
}

void AttentionBuilder::overTokens() {
  const int64_t yStride = kvHeads * group * dim;
  Value y = m.at(args.pointers[3], head, group * dim * 4);
  Value t0 = m.mul(m.div(args.chunk, kvHeads), maxTile);
  Value count = m.min(m.sub(args.n, t0), m.i64(maxTile));
  const int64_t setBytes = 2 * sums + maxTile * group * dim * 4;
  Value setA = m.stack(setBytes), setB = m.stack(setBytes);
  SmallVector<int64_t> sizes = {maxTile};
  if (maxTile > 1)
    sizes.push_back(1);
  m.tiles(count, sizes, [&](Value offset, int64_t tokens) {
    Value t = m.add(t0, offset);
    // Query t sees positions up to pos + t; blocks before every query's window
    // are skipped.
    Value visible = m.add(m.add(args.pos, t), m.i64(1));
    Value begin = m.i64(0);
    if (window)
      begin = m.floorTo(m.sub(visible, m.min(visible, m.i64(window))), block);
    Value end = m.add(visible, m.i64(tokens - 1));
    Value set = tile(t, tokens, begin, end, setA, setB);
    m.call({"attention_finish",
            {{"dim", dim},
             {"group", group},
             {"tokens", tokens},
             {"y_stride", tokens == 1 ? group * dim : yStride}},
            {}},
           {m.at(set, sums), m.at(set, 2 * sums), m.at(y, t, yStride * 4)});
  });
}

void AttentionBuilder::overPieces() {
  const int64_t partBytes = params["part"] * 4;
  Value part = m.at(args.pointers[3], args.chunk, partBytes);
  Value other = m.stack(partBytes);
  Value begin = m.mul(m.div(args.chunk, kvHeads), piece);
  Value visible = m.add(args.pos, m.i64(1));
  Value end = m.min(visible, m.add(begin, m.i64(piece)));
  if (window) { // what lies before it is skipped, if need be all
    Value first =
        m.floorTo(m.sub(visible, m.min(visible, m.i64(window))), block);
    begin = m.select(m.less(begin, first), m.min(first, end), begin);
  }
  // The last step writes the part.
  Value blocks = m.div(m.add(m.sub(end, begin), m.i64(block - 1)), block);
  Value even = m.less(m.rem(blocks, 2), m.i64(1));
  tile(m.i64(0), 1, begin, end, m.select(even, part, other),
       m.select(even, other, part));
}

} // namespace

void buildAttention(MacroBuilder &m, const DeclParams &params,
                    const MacroArgs &args) {
  AttentionBuilder attention(m, params, args);
  if (params["piece"])
    attention.overPieces();
  else
    attention.overTokens();
}

void buildAttentionCombine(MacroBuilder &m, const DeclParams &params,
                           const MacroArgs &args) {
  const int64_t dim = params["dim"], group = params["group"];
  const int64_t kvHeads = params["kv_heads"], piece = params["piece"];
  const int64_t sums = params["sums"] * 4, part = params["part"];
  Value parts = m.at(args.pointers[0], args.chunk, part * 4);
  Value pieces = m.div(m.add(args.pos, m.i64(piece)), piece);
  m.call({"attention_combine",
          {{"dim", dim},
           {"group", group},
           {"max_pieces", params["pieces"]},
           {"stride", kvHeads * part}},
          {}},
         {parts, m.at(parts, sums), m.at(parts, 2 * sums),
          m.at(args.pointers[1], args.chunk, group * dim * 4)},
         {m.toI32(pieces)});
}

} // namespace lfmc
