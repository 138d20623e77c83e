// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Routing.h"

#include "frontend/Errors.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <numeric>

using namespace llvm;

namespace lfmc::cli {

uint64_t LayerUses::total() const {
  return std::accumulate(uses.begin(), uses.end(), uint64_t(0));
}

int64_t LayerUses::expertsFor(double share) const {
  std::vector<uint64_t> sorted = uses;
  llvm::sort(sorted, std::greater<>());
  double wanted = share * double(total()), sum = 0;
  int64_t count = 0;
  while (count < int64_t(sorted.size()) && sum < wanted)
    sum += double(sorted[count++]);
  return count;
}

double LayerUses::balance() const {
  double all = double(total()), entropy = 0;
  for (uint64_t count : uses)
    if (count)
      entropy -= double(count) / all * std::log(double(count) / all);
  return uses.size() < 2 ? 1 : entropy / std::log(double(uses.size()));
}

Expected<Routing> readRouting(const Model &model, StringRef text, int threads) {
  Expected<Session> session = createSession(model, threads);
  if (!session)
    return session.takeError();
  lfm_expert_uses uses;
  if (lfm_session_experts(session->get(), 0, &uses) != LFM_OK)
    return makeError("model {} has no experts, or its target has no kernels "
                     "for them",
                     model.info.name);
  Expected<std::vector<int32_t>> tokens = model.tokenize(text, 0);
  if (!tokens)
    return tokens.takeError();
  if (tokens->empty())
    return makeError("the text has no tokens");
  // Logits of all tokens: else the last layers leave most of them out.
  constexpr size_t piece = 128;
  std::vector<float> logits(piece * size_t(model.info.vocab_size));
  Routing routing;
  routing.tokens = int64_t(tokens->size());
  ArrayRef<int32_t> rest = *tokens;
  const bool begin = model.info.bos >= 0;
  while (!rest.empty()) {
    lfm_session_reset(session->get());
    std::vector<int32_t> run;
    if (begin)
      run.push_back(model.info.bos);
    size_t room = size_t(model.info.max_context) - run.size();
    ArrayRef<int32_t> part = rest.take_front(std::min(room, rest.size()));
    run.insert(run.end(), part.begin(), part.end());
    rest = rest.drop_front(part.size());
    for (size_t at = 0; at < run.size(); at += piece)
      if (Error error = session->check(lfm_session_logits(
              session->get(), run.data() + at, std::min(piece, run.size() - at),
              logits.data())))
        return std::move(error);
    for (int32_t i = 0; lfm_session_experts(session->get(), i, &uses) == LFM_OK;
         ++i) {
      if (size_t(i) == routing.layers.size())
        routing.layers.push_back({uses.layer, uses.per_token,
                                  std::vector<uint64_t>(size_t(uses.experts))});
      for (int32_t e = 0; e < uses.experts; ++e)
        routing.layers[i].uses[e] += uses.uses[e];
    }
  }
  return routing;
}

std::string routingTable(const Routing &routing) {
  std::string text = fmt::format(
      "{} tokens\nlayer  unused  least  most    half of all  balance  most "
      "used\n",
      routing.tokens);
  for (const LayerUses &layer : routing.layers) {
    double all = double(layer.total());
    auto percent = [&](uint64_t count) { return 100 * double(count) / all; };
    std::vector<size_t> order(layer.uses.size());
    std::iota(order.begin(), order.end(), 0);
    llvm::stable_sort(order, [&](size_t a, size_t b) {
      return layer.uses[a] > layer.uses[b];
    });
    text += fmt::format("{:5}  {:6}  {:4.1f} %  {:4.1f} %  {:11}  {:7.3f} ",
                        layer.layer, llvm::count(layer.uses, 0u),
                        percent(layer.uses[order.back()]),
                        percent(layer.uses[order.front()]),
                        layer.expertsFor(0.5), layer.balance());
    for (size_t expert : ArrayRef(order).take_front(6))
      text += fmt::format(" {}", expert);
    text += "\n";
  }
  return text;
}

Json routingJson(const Routing &routing) {
  Json layers = Json::array();
  for (const LayerUses &layer : routing.layers)
    layers.push_back({{"layer", layer.layer},
                      {"per_token", layer.perToken},
                      {"uses", layer.uses},
                      {"balance", layer.balance()}});
  return {{"tokens", routing.tokens}, {"layers", std::move(layers)}};
}

std::string routingSvg(const Routing &routing) {
  constexpr int cell = 16, left = 64, top = 40, bottom = 24;
  size_t experts = 0;
  for (const LayerUses &layer : routing.layers)
    experts = std::max(experts, layer.uses.size());
  int width = left + int(experts) * cell + 16;
  int height = top + int(routing.layers.size()) * cell + bottom;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
      "font-family=\"sans-serif\" font-size=\"10\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"{}\" y=\"16\" font-size=\"12\">Use of experts, {} tokens: "
      "white never, darkest twice equal use and more</text>\n",
      width, height, left, routing.tokens);
  for (size_t e = 0; e < experts; e += 4)
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n",
                       left + int(e) * cell + 2, top - 6, e);
  for (auto [row, layer] : enumerate(routing.layers)) {
    int y = top + int(row) * cell;
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">layer {}"
                       "</text>\n",
                       left - 6, y + 12, layer.layer);
    double all = double(std::max<uint64_t>(1, layer.total()));
    for (auto [e, count] : enumerate(layer.uses)) {
      double share = double(count) / all;
      double relative = std::min(1.0, share * double(layer.uses.size()) / 2);
      auto channel = [&](int dark) {
        return 255 - int(std::lround(relative * (255 - dark)));
      };
      svg += fmt::format(
          "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" "
          "fill=\"rgb({},{},{})\" stroke=\"#ddd\"><title>layer {}, expert {}: "
          "{:.2f} %</title></rect>\n",
          left + int(e) * cell, y, cell, cell, channel(8), channel(48),
          channel(107), layer.layer, e, 100 * share);
    }
  }
  return svg + "</svg>\n";
}

} // namespace lfmc::cli
