// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Shapes.h"

#include "frontend/Errors.h"

#include <algorithm>
#include <cmath>

using namespace llvm;

namespace lfmc::tune {
namespace {

/// Reads a name word by word; remembers whether it was as expected.
class NameReader {
public:
  NameReader(StringRef kernel, StringRef family) : kernel(kernel) {
    kernel.split(words, ' ');
    fine = next() == family;
  }
  /// The next word, "n=2048".
  NameReader &number(StringRef key, int64_t &value) {
    fine &= isNumber(next(), key, value);
    return *this;
  }
  /// The same, if it is there.
  NameReader &maybe(StringRef key, int64_t &value) {
    if (at < words.size() && isNumber(words[at], key, value))
      ++at;
    return *this;
  }
  NameReader &flag(StringRef word, bool &value) {
    value = at < words.size() && words[at] == word;
    at += value;
    return *this;
  }
  NameReader &format(lfm2::StoredKind &kind, int64_t &block) {
    auto [name, size] = next().split('/');
    std::optional<lfm2::StoredKind> found = lfm2::symbolizeStoredKind(name);
    fine &= found && (size.empty() || isNumber(size, "", block));
    if (fine)
      kind = *found;
    return *this;
  }
  void check(bool condition) { fine &= condition; }

  template <typename Shape>
  Expected<Shape> end(const Shape &shape, const char *example) {
    if (fine && at == words.size())
      return shape;
    return makeError("expected a kernel like '{}', found {}", example,
                     inQuotes(kernel));
  }

private:
  StringRef next() { return at < words.size() ? words[at++] : StringRef(); }
  static bool isNumber(StringRef word, StringRef key, int64_t &value) {
    int64_t found = 0;
    if (!word.consume_front(key) || word.getAsInteger(10, found) ||
        found <= 0 || found >= int64_t(1) << 31)
      return false;
    value = found;
    return true;
  }

  StringRef kernel;
  SmallVector<StringRef> words;
  size_t at = 0;
  bool fine = true;
};

bool isCache(lfm2::StoredKind kind) {
  return kind == lfm2::StoredKind::F32 || kind == lfm2::StoredKind::F16 ||
         kind == lfm2::StoredKind::Q8;
}

/// Of kernels that go over rows: `values` are read or written in each token's,
/// with some operations each, in the caches but for `bytes`.
Cost rowCost(double values, int64_t tokens, double bytes = 0) {
  return {bytes, 8 * values * double(tokens), false, /*bounded=*/false};
}

} // namespace

Expected<ExpertShape> ExpertShape::parse(StringRef kernel) {
  ExpertShape s;
  NameReader name(kernel, "experts");
  name.number("of=", s.experts)
      .number("top=", s.topK)
      .number("n=", s.n)
      .number("k=", s.k)
      .format(s.kind, s.block)
      .flag("swiglu", s.swiglu);
  name.check(s.topK <= s.experts);
  return name.end(s, "experts of=32 top=4 n=3584 k=2048 q4/32 swiglu");
}

Expected<QuantizeShape> QuantizeShape::parse(StringRef kernel) {
  QuantizeShape s;
  NameReader name(kernel, "quantize");
  name.number("width=", s.width)
      .flag("norm", s.norm)
      .flag("quads", s.quads)
      .flag("limited", s.limited)
      .maybe("group=", s.group);
  name.check(s.width % std::max<int64_t>(32, s.group) == 0);
  return name.end(s, "quantize width=2048 norm");
}

Expected<NormShape> NormShape::parse(StringRef kernel) {
  NormShape s;
  NameReader name(kernel, "rms_norm");
  name.number("width=", s.width).number("heads=", s.heads);
  return name.end(s, "rms_norm width=2048 heads=1");
}

Expected<EmbedShape> EmbedShape::parse(StringRef kernel) {
  EmbedShape s;
  NameReader name(kernel, "embed");
  name.number("width=", s.width).format(s.kind, s.block);
  return name.end(s, "embed width=2048 q4/32");
}

Expected<RopeShape> RopeShape::parse(StringRef kernel) {
  RopeShape s;
  int64_t block = 0;
  NameReader name(kernel, "rope_cache");
  name.number("heads=", s.heads)
      .number("kv=", s.kvHeads)
      .number("dim=", s.dim)
      .number("rot=", s.rot)
      .format(s.kind, block);
  name.check(!block && isCache(s.kind) && s.rot % 2 == 0 && s.rot <= s.dim);
  return name.end(s, "rope_cache heads=32 kv=8 dim=64 rot=64 f16");
}

Expected<ConvShape> ConvShape::parse(StringRef kernel) {
  ConvShape s;
  NameReader name(kernel, "short_conv");
  name.number("channels=", s.channels)
      .number("taps=", s.taps)
      .flag("bias", s.bias);
  name.check(s.taps >= 2);
  return name.end(s, "short_conv channels=2048 taps=3");
}

Cost costOf(const ExpertShape &s, int64_t tokens) {
  const LinearShape one = s.matrix();
  // Experts that so many tokens choose, if all are chosen alike.
  const double share = double(s.topK) / double(s.experts);
  const double read =
      double(s.experts) * (1 - std::pow(1 - share, double(tokens)));
  return {one.weightBytes() * read,
          2 * one.products() * double(s.topK) * double(tokens), s.block != 0,
          true};
}

Cost costOf(const QuantizeShape &s, int64_t tokens) {
  return rowCost(double(s.width), tokens);
}

Cost costOf(const NormShape &s, int64_t tokens) {
  return rowCost(double(s.width * s.heads), tokens);
}

Cost costOf(const EmbedShape &s, int64_t tokens) {
  const LinearShape row{1, s.width, s.kind, s.block, false, false};
  return rowCost(double(s.width), tokens, row.weightBytes() * double(tokens));
}

Cost costOf(const RopeShape &s, int64_t tokens) {
  return rowCost(double((s.heads + 2 * s.kvHeads) * s.dim), tokens);
}

Cost costOf(const ConvShape &s, int64_t tokens) {
  return rowCost(double(s.channels * (s.taps + 1)), tokens);
}

} // namespace lfmc::tune
