// SPDX-License-Identifier: Apache-2.0
//
// Attention of one cache head over one tile of queries: online softmax over
// blocks of cached positions (Milakov & Gimelshein 2018; Dao 2022), sums and
// maxima on the stack.
#include "codegen/llvm/MacroBuilder.h"

using namespace mlir;

namespace lfmc {

void buildAttention(MacroBuilder &m, const DeclParams &params,
                    const MacroArgs &args) {
  const int64_t dim = params["dim"], group = params["group"];
  const int64_t kvHeads = params["kv_heads"], context = params["context"];
  const int64_t block = params["block"], maxTile = params["tokens"];
  const int64_t qStride = params["q_stride"], window = params["window"];
  const int64_t elementBytes = params["kvtype"] == 0 ? 4 : 2;
  const int64_t yStride = kvHeads * group * dim;
  const int64_t headBytes = context * dim * elementBytes;

  Value head = m.rem(args.chunk, kvHeads);
  Value q = m.at(args.pointers[0], head, group * dim * 4);
  Value k = m.at(args.pointers[1], head, headBytes);
  Value v = m.at(args.pointers[2], head, headBytes);
  Value y = m.at(args.pointers[3], head, group * dim * 4);
  Value t0 = m.mul(m.div(args.chunk, kvHeads), maxTile);
  Value count = m.min(m.sub(args.n, t0), m.i64(maxTile));

  // Two sets of running maximum, sum and weighted values: a step reads one and
  // writes the other.
  const int64_t rows = maxTile * group, sums = (rows * 4 + 63) / 64 * 64;
  const int64_t setBytes = 2 * sums + rows * dim * 4;
  Value setA = m.stack(setBytes), setB = m.stack(setBytes);

  SmallVector<int64_t> sizes = {maxTile};
  if (maxTile > 1)
    sizes.push_back(1);
  m.tiles(count, sizes, [&](Value offset, int64_t tile) {
    Value t = m.add(t0, offset);
    Value qTile = m.at(q, t, qStride * 4);
    m.fill(setA, rows, -1e30f);
    m.fill(m.at(setA, sums), rows, 0);
    m.fill(m.at(setA, 2 * sums), tile * group * dim, 0);
    // Query t sees positions up to pos + t; blocks before every query's window
    // are skipped.
    Value visible = m.add(m.add(args.pos, t), m.i64(1)); // to the first query
    Value end = m.add(visible, m.i64(tile - 1));
    Value begin = m.i64(0);
    if (window) {
      Value before = m.sub(visible, m.min(visible, m.i64(window)));
      begin = m.floorTo(before, block);
    }
    halide::MicroKernel step{"attention_block",
                             {{"dim", dim},
                              {"group", group},
                              {"tokens", tile},
                              {"block", block},
                              {"lanes", params["lanes"]},
                              {"q_stride", tile == 1 ? group * dim : qStride},
                              {"kvtype", params["kvtype"]},
                              {"window", window}},
                             {{"scale", params.real("scale")}}};
    SmallVector<Value> sets = m.loop(
        begin, end, block, {setA, setB},
        [&](Value j, ValueRange carried) -> SmallVector<Value> {
          Value in = carried[0], next = carried[1];
          m.call(step,
                 {qTile, m.at(k, j, dim * elementBytes),
                  m.at(v, j, dim * elementBytes), in, m.at(in, sums),
                  m.at(in, 2 * sums), next, m.at(next, sums),
                  m.at(next, 2 * sums)},
                 {m.toI32(m.sub(visible, j))});
          return {next, in};
        });
    m.call({"attention_finish",
            {{"dim", dim},
             {"group", group},
             {"tokens", tile},
             {"y_stride", tile == 1 ? group * dim : yStride}},
            {}},
           {m.at(sets[0], sums), m.at(sets[0], 2 * sums),
            m.at(y, t, yStride * 4)});
  });
}

} // namespace lfmc
