// SPDX-License-Identifier: Apache-2.0
#include "passes/quantize/Channels.h"

#include "dialects/lfm2/Factors.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"

#include <numeric>

using namespace mlir;

namespace lfmc {
namespace {

lfm2::WeightOp weightOf(Value value, ModuleOp module) {
  auto param = value ? value.getDefiningOp<lfm2::ParamOp>() : lfm2::ParamOp();
  return param ? module.lookupSymbol<lfm2::WeightOp>(param.getWeight())
               : lfm2::WeightOp();
}

bool isQuantized(lfm2::WeightOp weight) {
  auto type = cast<RankedTensorType>(weight.getType());
  return cast<lfm2::StoredAttr>(type.getEncoding()).isQuantized();
}

/// Finds the channels of one quantized row.
class Finder {
public:
  Finder(lfm2::QuantizeOp quantize, ModuleOp module)
      : quantize(quantize), module(module) {}

  std::optional<ScalableChannels> find() {
    int64_t columns = quantize.getX().getType().getDimSize(1);
    result.channels = columns;
    result.channelOf.resize(columns);
    std::iota(result.channelOf.begin(), result.channelOf.end(), 0);
    for (Operation *user : quantize->getUsers()) {
      auto linear = dyn_cast<lfm2::LinearOp>(user);
      lfm2::WeightOp weight =
          linear ? weightOf(linear.getWeight(), module) : lfm2::WeightOp();
      if (!weight || !isQuantized(weight))
        return std::nullopt;
      result.readers.push_back(weight);
    }
    bool found = quantize.getNorm() ? normalised() : product();
    return found ? std::optional(std::move(result)) : std::nullopt;
  }

private:
  bool normalised() {
    lfm2::WeightOp norm = weightOf(quantize.getNorm(), module);
    if (!norm)
      return false;
    result.writers.push_back({norm, 0});
    return true;
  }

  bool product() {
    Operation *op = quantize.getX().getDefiningOp();
    if (!op || !quantize.getX().hasOneUse())
      return false;
    if (auto conv = dyn_cast<lfm2::ShortConvOp>(op))
      return conv.getPost() && columnsOfLinear(conv.getPost());
    if (auto linear = dyn_cast<lfm2::LinearOp>(op))
      return linear.getActivation() == lfm2::Activation::Swiglu &&
             writtenBy(linear, result.channels);
    if (auto attention = dyn_cast<lfm2::AttentionOp>(op))
      return attended(attention);
    return false;
  }

  /// Query heads of a group read the same rows of v.
  bool attended(lfm2::AttentionOp attention) {
    auto cache = dyn_cast<OpResult>(attention.getVCache());
    auto write = cache ? dyn_cast<lfm2::RopeCacheOp>(cache.getOwner())
                       : lfm2::RopeCacheOp();
    if (!write || cache != write.getNewV())
      return false;
    auto type = cast<RankedTensorType>(cache.getType());
    int64_t heads = type.getDimSize(1), size = type.getDimSize(2);
    int64_t group = result.channels / size / heads;
    for (auto [column, channel] : llvm::enumerate(result.channelOf))
      channel = int64_t(column) / size / group * size + int64_t(column) % size;
    result.channels = heads * size;
    return columnsOfLinear(write.getV());
  }

  /// A whole result, or columns of one that nothing else reads.
  bool columnsOfLinear(Value value) {
    int64_t first = 0;
    if (!value.hasOneUse())
      return false;
    if (auto slice = value.getDefiningOp<tensor::ExtractSliceOp>()) {
      first = slice.getStaticOffsets()[1];
      if (ShapedType::isDynamic(first) || !disjoint(slice, first))
        return false;
      value = slice.getSource();
    } else if (!value.hasOneUse()) {
      return false;
    }
    auto linear = value.getDefiningOp<lfm2::LinearOp>();
    return linear && linear.getActivation() == lfm2::Activation::None &&
           !linear.getResidual() && writtenBy(linear, first);
  }

  /// Whether all other users of the slice's source read other columns.
  bool disjoint(tensor::ExtractSliceOp slice, int64_t first) {
    int64_t last = first + result.channels;
    return llvm::all_of(slice.getSource().getUsers(), [&](Operation *user) {
      auto other = dyn_cast<tensor::ExtractSliceOp>(user);
      if (!other)
        return false;
      int64_t from = other.getStaticOffsets()[1];
      int64_t size = other.getStaticSizes()[1];
      return other == slice ||
             (!ShapedType::isDynamic(from) && !ShapedType::isDynamic(size) &&
              (from + size <= first || from >= last));
    });
  }

  bool writtenBy(lfm2::LinearOp linear, int64_t first) {
    lfm2::WeightOp weight = weightOf(linear.getWeight(), module);
    if (!weight || !isQuantized(weight))
      return false;
    result.writers.push_back({weight, first});
    if (linear.getBias()) {
      lfm2::WeightOp bias = weightOf(linear.getBias(), module);
      if (!bias)
        return false;
      result.writers.push_back({bias, first});
    }
    return true;
  }

  lfm2::QuantizeOp quantize;
  ModuleOp module;
  ScalableChannels result;
};

bool same(const ScalableChannels &a, const ScalableChannels &b) {
  return a.readers == b.readers && a.channelOf == b.channelOf &&
         llvm::equal(a.writers, b.writers, [](const auto &x, const auto &y) {
           return x.weight == y.weight && x.firstRow == y.firstRow;
         });
}

/// Whether values of `weight` may be changed: as many params as rows that were
/// looked at read it, each once.
bool usedOnly(lfm2::WeightOp weight, int64_t rows, ModuleOp module) {
  int64_t uses = 0;
  module.walk([&](lfm2::ParamOp param) {
    if (param.getWeight() == weight.getSymName())
      uses += std::distance(param->user_begin(), param->user_end());
  });
  return uses == rows;
}

void multiply(lfm2::WeightOp weight, bool byRow, int64_t first,
              llvm::function_ref<float(int64_t)> factor, int64_t count) {
  auto type = cast<RankedTensorType>(weight.getType());
  StringRef name = byRow ? lfm2::rowFactorsName : lfm2::columnFactorsName;
  std::vector<float> all(type.getDimSize(byRow ? 0 : 1), 1.0f);
  if (ArrayRef<float> old = lfm2::factorsOf(weight, name); !old.empty())
    all = old.vec();
  for (int64_t i = 0; i < count; ++i)
    all[first + i] *= factor(i);
  weight->setAttr(name, DenseF32ArrayAttr::get(weight.getContext(), all));
}

} // namespace

std::vector<ScalableChannels> findScalableChannels(ModuleOp module) {
  struct Entry {
    ScalableChannels channels;
    int64_t rows = 0; // places in which the first reader reads them
    bool good = true;
  };
  llvm::MapVector<Operation *, Entry> byReader;
  module.walk([&](lfm2::QuantizeOp quantize) {
    auto channels = Finder(quantize, module).find();
    if (!channels || channels->readers.empty())
      return;
    llvm::sort(channels->readers, [](lfm2::WeightOp a, lfm2::WeightOp b) {
      return a->isBeforeInBlock(b);
    });
    Entry &entry = byReader[channels->readers.front()];
    if (entry.rows++ == 0)
      entry.channels = std::move(*channels);
    else
      entry.good &= same(entry.channels, *channels);
  });
  std::vector<ScalableChannels> result;
  for (auto &[reader, entry] : byReader) {
    bool good = entry.good;
    for (lfm2::WeightOp weight : entry.channels.readers)
      good &= usedOnly(weight, entry.rows, module);
    for (const ScalableChannels::Writer &writer : entry.channels.writers)
      good &= usedOnly(writer.weight, entry.rows, module);
    if (good)
      result.push_back(std::move(entry.channels));
  }
  return result;
}

void scaleChannels(const ScalableChannels &channels, ArrayRef<float> factors) {
  for (lfm2::WeightOp weight : channels.readers)
    multiply(
        weight, /*byRow=*/false, 0,
        [&](int64_t column) { return factors[channels.channelOf[column]]; },
        int64_t(channels.channelOf.size()));
  for (const ScalableChannels::Writer &writer : channels.writers)
    multiply(
        writer.weight, /*byRow=*/true, writer.firstRow,
        [&](int64_t channel) { return 1 / factors[channel]; },
        channels.channels);
}

} // namespace lfmc
