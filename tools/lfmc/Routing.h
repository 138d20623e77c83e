// SPDX-License-Identifier: Apache-2.0
//
// Which experts of a mixture a text uses: a table and a heat map.
#ifndef LFMC_TOOLS_LFMC_ROUTING_H
#define LFMC_TOOLS_LFMC_ROUTING_H

#include "tools/lfmc/Loader.h"

namespace lfmc::cli {

/// How often the experts of a layer were chosen.
struct LayerUses {
  int64_t layer = 0, perToken = 0;
  std::vector<uint64_t> uses; ///< by expert

  uint64_t total() const;
  /// Experts, the fewest, that take `share` of all choices.
  int64_t expertsFor(double share) const;
  /// Entropy of the choices over that of equal use: 1 if all are used alike.
  double balance() const;
};

struct Routing {
  int64_t tokens = 0;
  std::vector<LayerUses> layers;
};

/// Reads the text in runs of the model's context, each behind the token that
/// begins a text. Fails for a model without experts.
llvm::Expected<Routing> readRouting(const Model &model, llvm::StringRef text,
                                    int threads);

std::string routingTable(const Routing &routing);
Json routingJson(const Routing &routing);
/// A cell for each expert and layer; twice and more of equal use is darkest.
std::string routingSvg(const Routing &routing);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_ROUTING_H
