// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Families.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace lfmc::halide {

static const Family *findFamily(const std::string &name) {
  for (const Family &family : familyTable())
    if (family.name == name)
      return &family;
  return nullptr;
}

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const Family &family : familyTable())
    names.emplace_back(family.name);
  return names;
}

std::vector<Argument> arguments(const MicroKernel &kernel) {
  const Family *family = findFamily(kernel.family);
  if (!family)
    return {};
  try {
    return family->arguments(Params(kernel));
  } catch (const ParameterError &) {
    return {};
  }
}

static Halide::OutputFileType fileType(Emit what) {
  switch (what) {
  case Emit::Object:
    return Halide::OutputFileType::object;
  case Emit::Assembly:
    return Halide::OutputFileType::assembly;
  case Emit::Stmt:
    return Halide::OutputFileType::stmt;
  case Emit::LlvmText:
    return Halide::OutputFileType::llvm_assembly;
  }
  return Halide::OutputFileType::object;
}

namespace {
// Halide prints warnings (f16 in software on old processors) and knows no way
// to return them; they are of no use to the user of a compiler.
struct Reporter final : Halide::CompileTimeErrorReporter {
  void warning(const char *) override {}
  [[noreturn]] void error(const char *message) override {
    throw Halide::CompileError(message);
  }
};

// Halide takes buffers that it only knows as outputs to be aligned like its own
// allocations, and reads them by aligned loads. Callers promise no alignment.
class UnalignedLoads : public Halide::Internal::IRMutator {
public:
  explicit UnalignedLoads(const std::set<std::string> &names) : names(names) {}

private:
  using IRMutator::visit;
  Halide::Expr visit(const Halide::Internal::Load *load) override {
    if (!names.count(load->name))
      return IRMutator::visit(load);
    return Halide::Internal::Load::make(
        load->type, load->name, mutate(load->index), load->image, load->param,
        mutate(load->predicate), Halide::Internal::ModulusRemainder());
  }
  const std::set<std::string> &names;
};

// Makes aliases read the memory of their inputs: both names' host pointers come
// from the input's buffer.
class ResolveAliases : public Halide::Internal::IRMutator {
public:
  explicit ResolveAliases(const std::vector<Alias> &aliases) {
    for (const Alias &alias : aliases)
      buffers[alias.view.name() + ".buffer"] = alias.of + ".buffer";
  }

private:
  using IRMutator::visit;
  Halide::Expr visit(const Halide::Internal::Variable *variable) override {
    auto it = buffers.find(variable->name);
    if (it == buffers.end())
      return variable;
    return Halide::Internal::Variable::make(variable->type, it->second);
  }
  std::map<std::string, std::string> buffers;
};

// Adds the prefetches of a pipeline to its loop, one per cache line.
class AddPrefetch : public Halide::Internal::IRMutator {
public:
  explicit AddPrefetch(const Prefetch &prefetch) : prefetch(prefetch) {}

private:
  using IRMutator::visit;
  Halide::Internal::Stmt visit(const Halide::Internal::For *loop) override {
    using namespace Halide::Internal;
    if (!ends_with(loop->name, "." + prefetch.loop))
      return IRMutator::visit(loop);
    const int line = 64 / prefetch.type.bytes();
    std::vector<Stmt> body = {loop->body};
    Halide::Expr base =
        Variable::make(Halide::type_of<void *>(), prefetch.buffer);
    Halide::Expr iteration = Variable::make(Halide::Int(32), loop->name);
    for (int stream : prefetch.streams)
      for (int i = 0; i < prefetch.elementsPerIteration; i += line)
        body.push_back(Evaluate::make(Call::make(
            prefetch.type, Call::prefetch,
            {base,
             iteration * prefetch.elementsPerIteration +
                 (stream + i + prefetch.bytesAhead / prefetch.type.bytes()),
             1, line},
            Call::Intrinsic)));
    return For::make(loop->name, loop->min, loop->extent, loop->for_type,
                     loop->partition_policy, loop->device_api,
                     Block::make(body));
  }
  const Prefetch &prefetch;
};
} // namespace

static void installReporter() {
  static const bool installed = [] {
    static Reporter reporter;
    Halide::set_custom_compile_time_error_reporter(&reporter);
    return true;
  }();
  (void)installed;
}

// Lowers to one function whose arguments are the input buffers, then the output
// buffers, then the scalars; Halide itself would put outputs last.
static Halide::Module lower(const Pipeline &pipeline, const std::string &symbol,
                            const Halide::Target &target) {
  std::vector<Halide::Argument> args(pipeline.inputs.begin(),
                                     pipeline.inputs.end());
  for (const Alias &alias : pipeline.aliases)
    args.push_back(alias.view);
  args.insert(args.end(), pipeline.scalars.begin(), pipeline.scalars.end());
  Halide::Pipeline halide(pipeline.outputs);
  Halide::Module module = halide.compile_to_module(
      args, symbol, target, Halide::LinkageType::External);
  std::set<std::string> outputs;
  for (const Halide::Func &output : pipeline.outputs)
    outputs.insert(output.name());
  for (Halide::Internal::LoweredFunc &func : module.functions()) {
    func.body = UnalignedLoads(outputs).mutate(func.body);
    for (const Prefetch &prefetch : pipeline.prefetches)
      if (prefetch.bytesAhead)
        func.body = AddPrefetch(prefetch).mutate(func.body);
    if (!pipeline.aliases.empty()) {
      func.body = ResolveAliases(pipeline.aliases).mutate(func.body);
      auto first = func.args.begin() + pipeline.inputs.size();
      func.args.erase(first, first + pipeline.aliases.size());
    }
    std::rotate(func.args.begin() + pipeline.inputs.size(),
                func.args.end() - pipeline.outputs.size(), func.args.end());
  }
  return module;
}

std::string emit(const MicroKernel &kernel, const std::string &symbol,
                 const std::string &target, Emit what,
                 const std::string &path) {
  const Family *family = findFamily(kernel.family);
  if (!family)
    return fmt::format("unknown microkernel family '{}'", kernel.family);
  installReporter();
  if (!Halide::Target::validate_target_string(target))
    return fmt::format("microkernel '{}': unknown Halide target '{}'",
                       kernel.family, target);
  try {
    Halide::Target full(target + "-no_runtime-no_asserts-no_bounds_query");
    Params params(kernel);
    Pipeline pipeline = family->build(params, machineOf(full));
    params.checkAllRead();
    lower(pipeline, symbol, full).compile({{fileType(what), path}});
  } catch (const ParameterError &error) {
    return error.what();
  } catch (const Halide::Error &error) {
    return fmt::format("microkernel '{}' for target '{}': {}", kernel.family,
                       target, error.what());
  } catch (const std::exception &error) {
    return fmt::format("microkernel '{}': cannot write '{}': {}", kernel.family,
                       path, error.what());
  }
  return {};
}

} // namespace lfmc::halide
