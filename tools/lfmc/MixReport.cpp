// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/MixReport.h"

#include "frontend/Errors.h"

#include <algorithm>
#include <cmath>

using namespace llvm;

namespace lfmc::cli {
namespace {

// About `count` of the points, the first and the last among them.
std::vector<MixChoice> thinned(const std::vector<MixChoice> &points,
                               size_t count) {
  std::vector<MixChoice> result;
  for (size_t i = 0; i < std::min(count, points.size()); ++i)
    result.push_back(
        points[points.size() <= count ? i
                                      : i * (points.size() - 1) / (count - 1)]);
  return result;
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.3f}", double(bytes) / 1e6);
}

// All tensors in the same form, by kind.
std::vector<std::pair<std::string, MixChoice>> uniform(const MixReport &mix) {
  std::vector<std::pair<std::string, MixChoice>> result;
  if (mix.groups.empty())
    return result;
  for (const MixReport::Form &form : mix.groups.front().forms) {
    MixChoice sum{mix.fixedBytes, 0};
    bool complete = true;
    for (const MixReport::Group &group : mix.groups) {
      auto same = llvm::find_if(group.forms, [&](const MixReport::Form &other) {
        return other.kind == form.kind;
      });
      if (!(complete = same != group.forms.end()))
        break;
      sum.bytes += same->bytes;
      sum.cost += same->change.topK;
    }
    if (complete)
      result.emplace_back(form.kind, sum);
  }
  return result;
}

Json json(const Change &change) {
  return {{"topk_kl", change.topK}, {"kld_mean", change.kld}};
}

} // namespace

uint64_t MixReport::bytes() const {
  uint64_t sum = fixedBytes;
  for (const Group &group : groups)
    sum += group.forms[group.chosen].bytes;
  return sum;
}

Change MixReport::predicted() const {
  Change sum;
  for (const Group &group : groups) {
    sum.topK += group.forms[group.chosen].change.topK;
    sum.kld += group.forms[group.chosen].change.kld;
  }
  return sum;
}

std::vector<std::string> MixReport::schemes() const {
  std::vector<std::string> result;
  for (const Group &group : groups)
    for (const std::string &weight : group.weights)
      if (const std::string &kind = group.forms[group.chosen].kind;
          kind != "keep")
        result.push_back(weight + "=" + kind);
  return result;
}

Json MixReport::json() const {
  Json json = {{"target_bytes", nullptr}, {"max_kl", nullptr}};
  if (targetBytes)
    json["target_bytes"] = *targetBytes;
  if (maxKl)
    json["max_kl"] = *maxKl;
  json.update({{"tensor_bytes", bytes()},
               {"predicted", cli::json(predicted())},
               {"measured", cli::json(measured)},
               {"calibration", {{"text", text}, {"tokens", tokens}}},
               {"schemes", schemes()},
               {"groups", Json::array()},
               {"curve", Json::array()}});
  for (const Group &group : groups) {
    Json forms = Json::array();
    for (const Form &form : group.forms) {
      Json row = {{"kind", form.kind}, {"bytes", form.bytes}};
      row.update(cli::json(form.change));
      forms.push_back(std::move(row));
    }
    json["groups"].push_back({{"name", group.name},
                              {"weights", group.weights},
                              {"chosen", group.forms[group.chosen].kind},
                              {"forms", std::move(forms)}});
  }
  for (const MixChoice &point : thinned(curve, 64))
    json["curve"].push_back({point.bytes, point.cost});
  return json;
}

std::string MixReport::table() const {
  std::vector<std::string> kinds;
  for (const Group &group : groups)
    for (const Form &form : group.forms)
      if (form.kind != "keep" && !llvm::is_contained(kinds, form.kind))
        kinds.push_back(form.kind);
  size_t width = 5;
  for (const Group &group : groups)
    width = std::max(width, group.name.size());
  std::string rows =
      fmt::format("Top-32 KL in 1e-6 nats over {} tokens\n{:<{}} {:>10}",
                  tokens, "group", width, "elements");
  for (const std::string &kind : kinds)
    rows += fmt::format(" {:>9}", kind);
  rows += fmt::format(" {:>8} {:>10}\n", "chosen", "bytes");
  for (const Group &group : groups) {
    const Form &chosen = group.forms[group.chosen];
    rows += fmt::format("{:<{}} {:>10}", group.name, width, group.elements);
    for (const std::string &kind : kinds) {
      auto form = llvm::find_if(
          group.forms, [&](const Form &form) { return form.kind == kind; });
      rows += form == group.forms.end()
                  ? fmt::format(" {:>9}", "")
                  : fmt::format(" {:>9.2f}", 1e6 * form->change.topK);
    }
    rows += fmt::format(" {:>8} {:>10}\n", chosen.kind, chosen.bytes);
  }
  for (const auto &[kind, sum] : uniform(*this))
    rows += fmt::format("all {:<6} {:>12} bytes, predicted Top-32 KL {:.6f}\n",
                        kind, sum.bytes, sum.cost);
  Change sum = predicted();
  rows += fmt::format("mix        {:>12} bytes, predicted Top-32 KL {:.6f}, "
                      "KLD {:.6f}\n",
                      bytes(), sum.topK, sum.kld);
  rows += fmt::format("           {:>12}         measured Top-32 KL {:.6f}, "
                      "KLD {:.6f}\n",
                      "", measured.topK, measured.kld);
  return rows;
}

namespace {

constexpr double left = 70, right = 790, top = 50, bottom = 430;

// From bytes and nats to places of the plot.
class Axes {
public:
  explicit Axes(ArrayRef<MixChoice> points) {
    for (const MixChoice &point : points) {
      low = std::min(low, double(point.bytes));
      high = std::max(high, double(point.bytes));
      if (point.cost > 0) {
        least = std::min(least, std::floor(std::log10(point.cost)));
        most = std::max(most, std::ceil(std::log10(point.cost)));
      }
    }
    if (high <= low)
      high = low + 1;
    if (most <= least)
      most = least + 1;
  }
  double x(double bytes) const {
    return left + (bytes - low) / (high - low) * (right - left);
  }
  /// No cost lies on the lower edge.
  double y(double cost) const {
    double power = cost > 0 ? std::log10(cost) : least;
    return bottom - (power - least) / (most - least) * (bottom - top);
  }
  std::string grid() const {
    std::string svg;
    for (double power = least; power <= most; ++power) {
      double height = y(std::pow(10, power));
      svg += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#ddd\"/>\n"
                         "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">"
                         "1e{:.0f}</text>\n",
                         left, height, right, left - 6, height + 4, power);
    }
    for (int i = 0; i <= 8; ++i) {
      double bytes = low + (high - low) * i / 8;
      svg += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" "
                         "stroke=\"#eee\"/>\n<text x=\"{0:.1f}\" y=\"{3:.1f}\" "
                         "text-anchor=\"middle\">{4}</text>\n",
                         x(bytes), top, bottom, bottom + 18,
                         megabytes(uint64_t(bytes)));
    }
    return svg;
  }

private:
  double low = 1e300, high = 0, least = 9, most = -99;
};

} // namespace

std::string MixReport::svg() const {
  std::vector<MixChoice> line = thinned(curve, 400);
  // Mixes of only kept tensors cost nothing: the axis has no place for them.
  llvm::erase_if(line, [](const MixChoice &point) { return point.cost <= 0; });
  std::vector<MixChoice> points = line;
  std::vector<std::pair<std::string, MixChoice>> kinds = uniform(*this);
  llvm::erase_if(kinds, [](const auto &kind) { return kind.second.cost <= 0; });
  for (const auto &[kind, sum] : kinds)
    points.push_back(sum);
  points.push_back({bytes(), predicted().topK});
  points.push_back({bytes(), measured.topK});
  Axes axes(points);

  std::string body = axes.grid(), path;
  for (const MixChoice &point : line)
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L",
                        axes.x(double(point.bytes)), axes.y(point.cost));
  body += fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"#4e79a7\" stroke-width=\"2\"/>\n",
      path);
  auto dot = [&](const MixChoice &point, const std::string &style,
                 const std::string &words) {
    double x = axes.x(double(point.bytes)), y = axes.y(point.cost);
    body +=
        fmt::format("<circle cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"5\" {2}>"
                    "<title>{3}: {4} bytes, {5:.3g} nats</title></circle>\n"
                    "<text x=\"{6:.1f}\" y=\"{7:.1f}\">{3}</text>\n",
                    x, y, style, words, point.bytes, point.cost, x + 8, y - 6);
  };
  for (const auto &[kind, sum] : kinds)
    dot(sum, "fill=\"#9c9c9c\"", "all " + kind);
  dot({bytes(), predicted().topK}, "fill=\"#f28e2b\"", "predicted");
  dot({bytes(), measured.topK},
      "fill=\"none\" stroke=\"#e15759\" stroke-width=\"2\"", "measured");
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"480\" "
      "viewBox=\"0 0 860 480\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"{}\" y=\"28\" font-size=\"16\">{}: Top-32 KL (nats) over "
      "tensor bytes (MB), {} tokens</text>\n{}</svg>\n",
      left, model, tokens, body);
}

} // namespace lfmc::cli
