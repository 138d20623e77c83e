// SPDX-License-Identifier: Apache-2.0
//
// Providers for what is done token by token: gather, norm, short convolution,
// SwiGLU, addition.
#include "targets/KernelParams.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace lfmc {

Space rowSpace(std::string kernel, int64_t preset, int64_t least) {
  Space space;
  space.kernel = std::move(kernel);
  std::vector<int64_t> values;
  for (int64_t tokens = least; tokens <= 32; tokens *= 2)
    values.push_back(tokens);
  space.add("many.chunk_tokens", values, preset, usedByMany);
  return space;
}

Kernel rowKernel(KernelParams &params, Operation *op, const Choice &choice,
                 int64_t preset, lfm2::PanelsAttr layout) {
  const int64_t tokens =
      isOneToken(op) ? preset : choice.at("many.chunk_tokens");
  params.addUnless(preset, "chunk_tokens", tokens);
  return params.kernel(op->getName().stripDialect(), 1, tokens, layout);
}

std::string storedName(lfm2::StoredAttr stored) {
  std::string name = lfm2::stringifyStoredKind(stored.getKind()).str();
  if (stored.isQuantized())
    name += llvm::formatv("/{0}", stored.getBlock());
  return name;
}

std::optional<Kernel> embed(Operation *op, const Target &, const Tuner *tuner) {
  auto embed = dyn_cast<lfm2::EmbedOp>(op);
  if (!embed || !stored(embed.getTable()))
    return {};
  lfm2::StoredAttr encoding = stored(embed.getTable());
  const bool quantized = encoding.isQuantized();
  lfm2::PanelsAttr layout = encoding.getLayout();
  if (!layout)
    layout = lfm2::PanelsAttr::get(op->getContext(), 1,
                                   quantized ? dotDepth : 1, false);
  if (layout.getHalves())
    return {};
  const int64_t columns = width(embed.getResult());
  constexpr int64_t preset = 4;
  Choice choice =
      choose(tuner, rowSpace(llvm::formatv("embed width={0} {1}", columns,
                                           storedName(encoding)),
                             preset));
  KernelParams params(op);
  params.add("width", columns)
      .add("rows", layout.getRows())
      .add("depth", layout.getDepth())
      .add("wtype", int64_t(encoding.getKind()));
  if (quantized)
    params.add("block", encoding.getBlock())
        .add("block_bytes", encoding.getBytes(encoding.getBlock()))
        .addUnless(0, "raised", layout.getRaised());
  return rowKernel(params, op, choice, preset, layout);
}

std::optional<Kernel> rmsNorm(Operation *op, const Target &,
                              const Tuner *tuner) {
  auto norm = dyn_cast<lfm2::RmsNormOp>(op);
  if (!norm)
    return {};
  const int64_t group =
      cast<RankedTensorType>(norm.getWeight().getType()).getDimSize(0);
  const int64_t heads = width(norm.getX()) / group;
  constexpr int64_t preset = 8;
  Choice choice = choose(
      tuner,
      rowSpace(llvm::formatv("rms_norm width={0} heads={1}", group, heads),
               preset));
  KernelParams params(op);
  params.add("width", group)
      .add("heads", heads)
      .add("x_stride", rowStride(norm.getX()))
      .add("eps", norm.getEps().convertToDouble());
  return rowKernel(params, op, choice, preset);
}

std::optional<Kernel> shortConv(Operation *op, const Target &target,
                                const Tuner *tuner) {
  auto conv = dyn_cast<lfm2::ShortConvOp>(op);
  if (!conv || !conv.getPre() ||
      stored(conv.getWeight()).getKind() != lfm2::StoredKind::F32)
    return {};
  const int64_t stride = rowStride(conv.getX());
  if (rowStride(conv.getPre()) != stride || rowStride(conv.getPost()) != stride)
    return {};
  auto type = cast<RankedTensorType>(conv.getWeight().getType());
  const int64_t channels = type.getDimSize(0);
  int64_t block = dividingPowerOfTwo(channels, 256);
  if (block < target.vectorLanes)
    block = channels;
  // Channels of a chunk: their state and the loop over tokens stay in L1, few
  // give each thread a part. Any cut computes the same.
  Space space;
  space.kernel =
      llvm::formatv("short_conv channels={0} taps={1}{2}", channels,
                    type.getDimSize(1), conv.getBias() ? " bias" : "");
  const std::vector<int64_t> blocks =
      dividingMultiples(channels, 4 * target.vectorLanes, 1024);
  space.add("one.block", blocks, block, usedByOne);
  space.add("many.block", blocks, block, usedByMany);
  Choice choice = choose(tuner, space);
  block = choice.at(isOneToken(op) ? "one.block" : "many.block");
  KernelParams params(op);
  params.add("channels", channels)
      .add("taps", type.getDimSize(1))
      .add("block", block)
      .add("x_stride", stride)
      .add("bias", int64_t(bool(conv.getBias())));
  auto layout = lfm2::PanelsAttr::get(op->getContext(), channels, 1, false);
  return params.kernel("short_conv", channels / block, 0, layout);
}

std::optional<Kernel> swiglu(Operation *op, const Target &) {
  auto swiglu = dyn_cast<lfm2::SwigluOp>(op);
  if (!swiglu || rowStride(swiglu.getGate()) != rowStride(swiglu.getUp()))
    return {};
  KernelParams params(op);
  params.add("width", width(swiglu.getResult()))
      .add("x_stride", rowStride(swiglu.getGate()));
  return params.kernel("swiglu", 1, 4);
}

std::optional<Kernel> add(Operation *op, const Target &) {
  auto add = dyn_cast<arith::AddFOp>(op);
  if (!add || rowStride(add.getLhs()) != rowStride(add.getRhs()))
    return {};
  KernelParams params(op);
  params.add("width", width(add.getResult()))
      .add("x_stride", rowStride(add.getLhs()));
  return params.kernel("add", 1, 4);
}

} // namespace lfmc
