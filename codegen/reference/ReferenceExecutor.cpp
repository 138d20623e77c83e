// SPDX-License-Identifier: Apache-2.0
#include "codegen/reference/ReferenceExecutor.h"

#include "codegen/reference/Lower.h"
#include "frontend/Errors.h"

#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/Target/TargetMachine.h"

#include <cstring>

using namespace mlir;
using namespace lfmc;

namespace {

// Buffers of the call in progress: generated code allocates and never frees.
thread_local std::vector<std::unique_ptr<char[]>> *callBuffers = nullptr;

void *allocateBuffer(size_t bytes) {
  callBuffers->emplace_back(new char[bytes ? bytes : 1]);
  return callBuffers->back().get();
}

// LLVM makes one call of an allocation and the zeros stored to it.
void *allocateZeros(size_t count, size_t size) {
  callBuffers->emplace_back(new char[count * size + 1]());
  return callBuffers->back().get();
}

struct BufferScope {
  std::vector<std::unique_ptr<char[]>> buffers;
  BufferScope() { callBuffers = &buffers; }
  ~BufferScope() { callBuffers = nullptr; }
};

// MLIR's ranked memref descriptor: two pointers, offset, sizes, strides.
struct Descriptor {
  std::vector<int64_t> words;

  Descriptor(const void *data, ArrayRef<int64_t> shape)
      : words(3 + 2 * shape.size()) {
    words[0] = words[1] = reinterpret_cast<int64_t>(data);
    int64_t stride = 1;
    for (size_t i = shape.size(); i-- > 0; stride *= shape[i]) {
      words[3 + i] = shape[i];
      words[3 + shape.size() + i] = stride;
    }
  }
};

// Collects the errors of one compilation; without it MLIR prints them.
struct ErrorCollector : ScopedDiagnosticHandler {
  std::string text;
  explicit ErrorCollector(MLIRContext *context)
      : ScopedDiagnosticHandler(context) {
    setHandler([this](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
        return failure();
      if (text.empty()) {
        llvm::raw_string_ostream stream(text);
        stream << diagnostic.getLocation() << ": " << diagnostic;
      }
      return success();
    });
  }
};

std::optional<HostTensor::Element> elementOf(Type type) {
  if (type.isF32())
    return HostTensor::Element::F32;
  if (type.isF16())
    return HostTensor::Element::F16;
  if (type.isInteger(32))
    return HostTensor::Element::I32;
  return std::nullopt;
}

bool fits(Type type, const HostTensor &tensor) {
  if (type.isIndex())
    return tensor.element == HostTensor::Element::Index;
  auto ranked = dyn_cast<RankedTensorType>(type);
  if (!ranked || elementOf(ranked.getElementType()) != tensor.element ||
      ranked.getRank() != int64_t(tensor.shape.size()))
    return false;
  for (auto [wanted, found] : llvm::zip(ranked.getShape(), tensor.shape))
    if (!ShapedType::isDynamic(wanted) && wanted != found)
      return false;
  return true;
}

std::string text(Type type) {
  std::string result;
  llvm::raw_string_ostream(result) << type;
  return result;
}

// Copies the result that descriptor words `at` point to, and steps over them.
HostTensor takeResult(RankedTensorType type, const int64_t *&at) {
  int64_t rank = type.getRank();
  HostTensor tensor(*elementOf(type.getElementType()),
                    ArrayRef(at + 3, size_t(rank)));
  const char *data = reinterpret_cast<const char *>(at[1]) +
                     at[2] * HostTensor::elementBytes(tensor.element);
  if (!tensor.data.empty())
    std::memcpy(tensor.data.data(), data, tensor.data.size());
  at += 3 + 2 * rank;
  return tensor;
}

} // namespace

struct ReferenceExecutor::Compiled {
  FunctionType type; // as declared, without weights and taps
  std::vector<std::string> weights, taps;
  SmallVector<Type> results; // with taps
  std::unique_ptr<ExecutionEngine> engine;
  void (*entry)(void **) = nullptr;
};

ReferenceExecutor::ReferenceExecutor(ModuleOp module, ReadWeight read)
    : module(module), read(std::move(read)) {
  reference::registerLowering(*module.getContext());
}

ReferenceExecutor::~ReferenceExecutor() = default;

void ReferenceExecutor::setTaps(std::vector<std::string> names) {
  taps = std::move(names);
}

llvm::Expected<ReferenceExecutor::Compiled *>
ReferenceExecutor::compile(StringRef name) {
  std::unique_ptr<Compiled> &slot = functions[name];
  if (slot)
    return slot.get();
  auto original = module.lookupSymbol<func::FuncOp>(name);
  if (!original || original.isExternal())
    return makeError("the module has no function @{} with a body",
                     std::string_view(name));
  auto compiled = std::make_unique<Compiled>();
  compiled->type = original.getFunctionType();
  for (Type type : compiled->type.getResults()) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !elementOf(tensor.getElementType()))
      return makeError("function @{}: expected results that are tensors of "
                       "f32, f16 or i32, found {}",
                       std::string_view(name), text(type));
  }

  MLIRContext *context = module.getContext();
  ErrorCollector errors(context);
  OwningOpRef<ModuleOp> scratch = ModuleOp::create(original.getLoc());
  func::FuncOp function = original.clone();
  scratch->push_back(function);
  function.setPublic();
  // The scratch module has no symbols to refer to.
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    function.removeArgAttr(i, "lfm2.state");
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    function.removeResultAttr(i, StringAttr::get(context, "lfm2.state"));
  compiled->taps = reference::tapValues(function, taps);
  compiled->results = llvm::to_vector(function.getResultTypes());
  compiled->weights = reference::weightsToArguments(function);
  if (failed(reference::lowerToLlvm(*scratch)))
    return makeError("function @{}: {}", std::string_view(name), errors.text);

  auto builder = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!builder)
    return builder.takeError();
  builder->setCodeGenOptLevel(llvm::CodeGenOptLevel::Default);
  auto machine = builder->createTargetMachine();
  if (!machine)
    return machine.takeError();
  ExecutionEngineOptions options;
  auto optimize = makeOptimizingTransformer(3, 0, machine->get());
  options.transformer = optimize;
  options.jitCodeGenOptLevel = llvm::CodeGenOptLevel::Default;
  options.enableGDBNotificationListener = false;
  options.enablePerfNotificationListener = false;
  auto hostMachine = builder->createTargetMachine();
  if (!hostMachine)
    return hostMachine.takeError();
  auto engine =
      ExecutionEngine::create(*scratch, options, std::move(*hostMachine));
  if (!engine)
    return engine.takeError();
  (*engine)->registerSymbols([](llvm::orc::MangleAndInterner intern) {
    llvm::orc::SymbolMap symbols;
    symbols[intern("malloc")] = {
        llvm::orc::ExecutorAddr::fromPtr(&allocateBuffer),
        llvm::JITSymbolFlags::Exported};
    symbols[intern("calloc")] = {
        llvm::orc::ExecutorAddr::fromPtr(&allocateZeros),
        llvm::JITSymbolFlags::Exported};
    return symbols;
  });
  auto entry = (*engine)->lookupPacked(("_mlir_ciface_" + name).str());
  if (!entry)
    return entry.takeError();
  compiled->engine = std::move(*engine);
  compiled->entry = *entry;
  slot = std::move(compiled);
  return slot.get();
}

llvm::Expected<std::vector<float> *>
ReferenceExecutor::weight(StringRef symbol) {
  auto found = weights.find(symbol);
  if (found != weights.end())
    return &found->second;
  auto op = module.lookupSymbol<lfm2::WeightOp>(symbol);
  if (!op || !read)
    return makeError("weight @{} cannot be read: {}", std::string_view(symbol),
                     op ? "no checkpoint given" : "it is not declared");
  std::vector<float> values(cast<ShapedType>(op.getType()).getNumElements());
  if (llvm::Error error = read(op, values))
    return error;
  return &weights.try_emplace(symbol, std::move(values)).first->second;
}

llvm::Expected<ReferenceExecutor::Results>
ReferenceExecutor::run(StringRef name, ArrayRef<HostTensor> inputs) {
  llvm::Expected<Compiled *> compiledOr = compile(name);
  if (!compiledOr)
    return compiledOr.takeError();
  Compiled &compiled = **compiledOr;
  if (inputs.size() != compiled.type.getNumInputs())
    return makeError("function @{}: expected {} inputs, found {}",
                     std::string_view(name), compiled.type.getNumInputs(),
                     inputs.size());

  // Copies, since generated code may overwrite its arguments.
  std::vector<HostTensor> arguments(inputs.begin(), inputs.end());
  std::vector<Descriptor> descriptors;
  for (auto [i, type] : llvm::enumerate(compiled.type.getInputs())) {
    if (!fits(type, arguments[i]))
      return makeError("function @{}, argument {}: expected {}, found {}",
                       std::string_view(name), i, text(type),
                       arguments[i].typeText());
    descriptors.emplace_back(arguments[i].data.data(), arguments[i].shape);
  }
  for (const std::string &symbol : compiled.weights) {
    llvm::Expected<std::vector<float> *> values = weight(symbol);
    if (!values)
      return values.takeError();
    auto op = module.lookupSymbol<lfm2::WeightOp>(symbol);
    descriptors.emplace_back((*values)->data(),
                             cast<ShapedType>(op.getType()).getShape());
  }

  size_t resultWords = 0;
  for (Type type : compiled.results)
    resultWords += 3 + 2 * cast<ShapedType>(type).getRank();
  std::vector<int64_t> resultArea(resultWords);
  // A packed call takes a pointer to each argument.
  std::vector<void *> pointers{resultArea.data()};
  for (Descriptor &descriptor : descriptors)
    pointers.push_back(descriptor.words.data());
  std::vector<void *> packed;
  for (size_t i = compiled.results.empty() ? 1 : 0; i < pointers.size(); ++i) {
    bool scalar = i >= 1 && i <= inputs.size() &&
                  arguments[i - 1].element == HostTensor::Element::Index;
    packed.push_back(scalar ? static_cast<void *>(arguments[i - 1].data.data())
                            : &pointers[i]);
  }

  BufferScope buffers;
  compiled.entry(packed.data());
  Results results;
  const int64_t *at = resultArea.data();
  for (auto [i, type] : llvm::enumerate(compiled.results)) {
    HostTensor tensor = takeResult(cast<RankedTensorType>(type), at);
    size_t declared = compiled.type.getNumResults();
    if (i < declared)
      results.outputs.push_back(std::move(tensor));
    else
      results.taps.emplace(compiled.taps[i - declared], std::move(tensor));
  }
  return results;
}
