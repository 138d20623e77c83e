// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/InspectText.h"
#include "tools/lfmc/Routing.h"

#include "frontend/Errors.h"
#include "frontend/SafeTensorsWriter.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstdio>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  std::string path, function = "prefill", routing, svg;
  bool json = false, full = false;
};

// A package runs as it is, a checkpoint is compiled into the cache first.
Expected<int> inspectRouting(const Flags &flags) {
  auto text = MemoryBuffer::getFile(flags.routing);
  if (!text)
    return makeError("cannot read {}: {}", flags.routing,
                     text.getError().message());
  Expected<std::string> package = packageOf(flags.path, flags.compile);
  if (!package)
    return package.takeError();
  Expected<Model> model = openModel(*package);
  if (!model)
    return model.takeError();
  Expected<Routing> routing =
      readRouting(*model, (*text)->getBuffer(), /*threads=*/0);
  if (!routing)
    return routing.takeError();
  if (!flags.svg.empty())
    if (Error error = writeFileAtomically(flags.svg, routingSvg(*routing)))
      return std::move(error);
  std::fputs(flags.json ? (routingJson(*routing).dump(2) + "\n").c_str()
                        : routingTable(*routing).c_str(),
             stdout);
  return 0;
}

} // namespace

void addInspect(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command = app.add_subcommand(
      "inspect", "show kernels, layouts and memory of a model");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  command->add_option("--function", flags->function,
                      "whose arena is drawn: decode, prefill or head");
  CLI::Option *routing =
      command->add_option("--routing", flags->routing,
                          "read this text and show which experts it uses");
  command->add_option("--svg", flags->svg, "write that as a heat map, too")
      ->needs(routing);
  command->add_flag("--full", flags->full, "all phases of the arena's map");
  command->add_flag("--json", flags->json, "the manifest");
  addCompileFlags(*command, flags->compile);
  command->callback([flags, &action] {
    action = [flags]() -> Expected<int> {
      if (!flags->routing.empty())
        return inspectRouting(*flags);
      Expected<Json> manifest = manifestOf(flags->path, flags->compile);
      if (!manifest)
        return manifest.takeError();
      std::fputs(
          flags->json
              ? manifestText(*manifest).c_str()
              : inspectText(*manifest, flags->function, flags->full).c_str(),
          stdout);
      return 0;
    };
  });
}

} // namespace lfmc::cli
