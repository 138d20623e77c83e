// SPDX-License-Identifier: Apache-2.0
#include "codegen/reference/ReferenceModel.h"

#include "frontend/Errors.h"

#include <limits>

using namespace mlir;
using namespace lfmc;

llvm::Expected<std::unique_ptr<ReferenceModel>>
ReferenceModel::create(ModuleOp module, ReferenceExecutor::ReadWeight read) {
  std::unique_ptr<ReferenceModel> model(
      new ReferenceModel(module, std::move(read)));
  if (llvm::Error error = model->checkFunctions())
    return error;
  model->reset();
  return model;
}

llvm::Error ReferenceModel::checkFunctions() {
  for (const char *name : {"decode", "prefill"}) {
    auto function = module.lookupSymbol<func::FuncOp>(name);
    if (!function)
      return makeError("the module has no function @{}", name);
    FunctionType type = function.getFunctionType();
    bool good =
        type.getNumInputs() >= 2 &&
        type.getNumResults() == type.getNumInputs() - 1 &&
        isa<RankedTensorType>(type.getInput(0)) && type.getInput(1).isIndex() &&
        type.getInputs().drop_front(2) == type.getResults().drop_front(1);
    for (unsigned i = 2; good && i < type.getNumInputs(); ++i) {
      auto state = dyn_cast<RankedTensorType>(type.getInput(i));
      good = state && state.hasStaticShape() &&
             (state.getElementType().isF32() || state.getElementType().isF16());
    }
    if (!good)
      return makeError("function @{}: expected (tokens, position, states) -> "
                       "(rows, states)",
                       name);
  }
  // Rows of caches and embeddings bound positions and token ids: generated code
  // does not check them.
  context = vocab = std::numeric_limits<int64_t>::max();
  module.walk([&](Operation *op) {
    if (auto state = dyn_cast<lfm2::StateOp>(op); state && state.getPerToken())
      context =
          std::min(context, cast<ShapedType>(state.getType()).getDimSize(0));
    if (auto embed = dyn_cast<lfm2::EmbedOp>(op))
      vocab = std::min(vocab, embed.getTable().getType().getDimSize(0));
  });
  return llvm::Error::success();
}

void ReferenceModel::reset() {
  pos = 0;
  states.clear();
  auto function = module.lookupSymbol<func::FuncOp>("prefill");
  for (Type type : function.getArgumentTypes().drop_front(2)) {
    auto state = cast<RankedTensorType>(type);
    states.emplace_back(state.getElementType().isF16()
                            ? HostTensor::Element::F16
                            : HostTensor::Element::F32,
                        state.getShape());
  }
}

llvm::Expected<HostTensor> ReferenceModel::step(StringRef function,
                                                ArrayRef<int32_t> tokens) {
  if (tokens.empty())
    return makeError("expected at least one token, found none");
  for (int32_t token : tokens)
    if (token < 0 || token >= vocab)
      return makeError("expected token ids below {}, found {}", vocab, token);
  if (int64_t(tokens.size()) > context - pos)
    return makeError("{} tokens at position {} do not fit in a context of {}",
                     tokens.size(), pos, context);
  std::vector<HostTensor> inputs{HostTensor::i32(tokens),
                                 HostTensor::index(pos)};
  llvm::append_range(inputs, states);
  auto results = executor.run(function, inputs);
  if (!results)
    return results.takeError();
  for (size_t i = 0; i < states.size(); ++i)
    states[i] = std::move(results->outputs[i + 1]);
  lastTaps = std::move(results->taps);
  pos += tokens.size();
  return std::move(results->outputs.front());
}

llvm::Expected<HostTensor> ReferenceModel::prefill(ArrayRef<int32_t> tokens) {
  return step("prefill", tokens);
}

llvm::Expected<HostTensor> ReferenceModel::decode(int32_t token) {
  return step("decode", token);
}

llvm::Expected<HostTensor> ReferenceModel::head(const HostTensor &hidden) {
  auto results = executor.run("head", hidden);
  if (!results)
    return results.takeError();
  return std::move(results->outputs.front());
}
