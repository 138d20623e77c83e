// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/fuse/Fuse.h"
#include "passes/stack/StackedWeight.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"

#include <array>
#include <map>

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_STACKLINEARS
#include "passes/Passes.h.inc"
} // namespace lfmc

namespace {
/// Linears of one block that multiply the same x, by declaration of the
/// weights.
using Group = SmallVector<lfm2::LinearOp, 3>;

class Stacker {
public:
  explicit Stacker(ModuleOp module) : symbols(module), users(tables, module) {}

  /// Finds the groups of a function.
  void collect(func::FuncOp function);
  /// Stacks what can be; returns the number of weights that went into stacks.
  int64_t run();

private:
  lfm2::WeightOp stackableWeight(Value value);
  SmallVector<lfm2::WeightOp> weights(ArrayRef<lfm2::LinearOp> group);
  SmallVector<lfm2::WeightOp> biases(ArrayRef<lfm2::LinearOp> group);
  SmallVector<lfm2::WeightOp> parts(ArrayRef<lfm2::LinearOp> group);
  bool ownsAllUses(ArrayRef<Group> groups);
  void stack(MutableArrayRef<Group> groups);
  void rewrite(Group &group, lfm2::WeightOp weight, lfm2::WeightOp bias);

  SymbolTable symbols;
  SymbolTableCollection tables;
  SymbolUserMap users;
  /// The groups that read the same weights and biases, of all functions.
  llvm::MapVector<Attribute, SmallVector<Group, 2>> plans;
};
} // namespace

static lfm2::ParamOp paramOf(Value value) {
  return value ? value.getDefiningOp<lfm2::ParamOp>() : lfm2::ParamOp();
}

static Attribute encodingOf(Value value) {
  return value ? cast<RankedTensorType>(value.getType()).getEncoding()
               : Attribute();
}

/// The weight that `value` reads, if its rows may become part of a stack.
lfm2::WeightOp Stacker::stackableWeight(Value value) {
  auto stored = dyn_cast_or_null<lfm2::StoredAttr>(encodingOf(value));
  lfm2::ParamOp param = paramOf(value);
  if (!param || !stored || stored.getLayout())
    return {};
  auto weight = symbols.lookup<lfm2::WeightOp>(param.getWeight());
  if (!weight || weight.getOffset() ||
      !isa<lfm2::SourceAttr>(weight.getSource()))
    return {};
  return weight;
}

SmallVector<lfm2::WeightOp> Stacker::weights(ArrayRef<lfm2::LinearOp> group) {
  return llvm::map_to_vector(group, [&](lfm2::LinearOp linear) {
    return stackableWeight(linear.getWeight());
  });
}

SmallVector<lfm2::WeightOp> Stacker::biases(ArrayRef<lfm2::LinearOp> group) {
  SmallVector<lfm2::WeightOp> result;
  for (lfm2::LinearOp linear : group)
    if (linear.getBias())
      result.push_back(stackableWeight(linear.getBias()));
  return result;
}

SmallVector<lfm2::WeightOp> Stacker::parts(ArrayRef<lfm2::LinearOp> group) {
  SmallVector<lfm2::WeightOp> result = weights(group);
  llvm::append_range(result, biases(group));
  return result;
}

void Stacker::collect(func::FuncOp function) {
  // A group agrees in all that a linear shares among its columns.
  std::map<std::array<const void *, 6>, unsigned> index;
  SmallVector<Group> groups;
  function.walk([&](lfm2::LinearOp linear) {
    Value bias = linear.getBias();
    if (linear.getResidual() ||
        linear.getActivation() != lfm2::Activation::None ||
        !stackableWeight(linear.getWeight()) ||
        (bias && !stackableWeight(bias)))
      return;
    auto [it, isNew] = index.try_emplace(
        {linear->getBlock(), linear.getX().getAsOpaquePointer(),
         linear.getNorm().getAsOpaquePointer(),
         linear.getEpsAttr().getAsOpaquePointer(),
         encodingOf(linear.getWeight()).getAsOpaquePointer(),
         encodingOf(bias).getAsOpaquePointer()},
        groups.size());
    if (isNew)
      groups.emplace_back();
    groups[it->second].push_back(linear);
  });

  for (Group &group : groups) {
    llvm::sort(group, [&](lfm2::LinearOp a, lfm2::LinearOp b) {
      return stackableWeight(a.getWeight())
          ->isBeforeInBlock(stackableWeight(b.getWeight()));
    });
    SmallVector<Attribute> names;
    for (lfm2::WeightOp part : parts(group))
      names.push_back(part.getSymNameAttr());
    llvm::SmallDenseSet<Attribute> distinct(names.begin(), names.end());
    if (group.size() > 1 && distinct.size() == names.size())
      plans[ArrayAttr::get(function.getContext(), names)].push_back(group);
  }
}

/// Whether nothing but `groups` reads the weights: a stack would store the rows
/// a second time for other readers.
bool Stacker::ownsAllUses(ArrayRef<Group> groups) {
  llvm::SmallDenseSet<Operation *> members;
  for (const Group &group : groups)
    members.insert(group.begin(), group.end());
  auto isOwned = [&](Operation *reader) {
    return isa<lfm2::ParamOp>(reader) &&
           llvm::all_of(reader->getUsers(), [&](Operation *user) {
             return members.contains(user);
           });
  };
  return llvm::all_of(parts(groups.front()), [&](lfm2::WeightOp part) {
    return llvm::all_of(users.getUsers(part), isOwned);
  });
}

/// Gate and up projection stack as swiglu wants them, whatever the order of
/// their declarations.
static bool isReversed(ArrayRef<lfm2::LinearOp> group) {
  if (group.size() != 2)
    return false;
  return llvm::any_of(group[0]->getUsers(), [&](Operation *user) {
    auto swiglu = dyn_cast<lfm2::SwigluOp>(user);
    return swiglu && swiglu.getGate().getDefiningOp() == group[1] &&
           swiglu.getUp().getDefiningOp() == group[0];
  });
}

void Stacker::stack(MutableArrayRef<Group> groups) {
  if (llvm::any_of(groups, isReversed))
    for (Group &group : groups)
      std::swap(group[0], group[1]);

  lfm2::WeightOp weight = declareStack(symbols, weights(groups.front()));
  SmallVector<lfm2::WeightOp> biasParts = biases(groups.front());
  lfm2::WeightOp bias;
  if (!biasParts.empty())
    bias = declareStack(symbols, biasParts);
  SmallVector<lfm2::WeightOp> replaced = parts(groups.front());
  for (Group &group : groups)
    rewrite(group, weight, bias);

  for (lfm2::WeightOp part : replaced) {
    for (Operation *reader : users.getUsers(part))
      reader->erase();
    symbols.erase(part);
  }
}

void Stacker::rewrite(Group &group, lfm2::WeightOp weight,
                      lfm2::WeightOp bias) {
  lfm2::LinearOp first = group.front();
  SmallVector<Location> locs;
  for (lfm2::LinearOp linear : group) {
    locs.push_back(linear.getLoc());
    if (linear->isBeforeInBlock(first))
      first = linear;
  }
  OpBuilder builder(first);
  Location loc = builder.getFusedLoc(locs);
  auto paramFor = [&](lfm2::WeightOp source) -> Value {
    if (!source)
      return {};
    return lfm2::ParamOp::create(builder, loc, source.getType(),
                                 source.getSymName());
  };
  int64_t tokens = first.getType().getDimSize(0);
  int64_t width = cast<RankedTensorType>(weight.getType()).getDimSize(0);
  auto rowsOfWidth = [&](int64_t columns) {
    return RankedTensorType::get({tokens, columns}, builder.getF32Type());
  };
  Value weightParam = paramFor(weight), biasParam = paramFor(bias);
  auto stacked = lfm2::LinearOp::create(
      builder, loc, rowsOfWidth(width), first.getX(), weightParam, biasParam,
      first.getNorm(), /*residual=*/Value(), first.getEpsAttr(),
      first.getActivationAttr());

  // Asking x itself for its rows would count as a user of x.
  OpFoldResult rows = builder.getIndexAttr(tokens);
  if (ShapedType::isDynamic(tokens)) {
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    rows = tensor::DimOp::create(builder, loc, rowsOf(first.getX()), zero)
               .getResult();
  }
  OpFoldResult one = builder.getIndexAttr(1);
  int64_t offset = 0;
  for (lfm2::LinearOp linear : group) {
    int64_t columns = linear.getType().getDimSize(1);
    auto slice = tensor::ExtractSliceOp::create(
        builder, linear.getLoc(), rowsOfWidth(columns), stacked,
        {builder.getIndexAttr(0), builder.getIndexAttr(offset)},
        {rows, builder.getIndexAttr(columns)}, {one, one});
    linear.replaceAllUsesWith(slice.getResult());
    offset += columns;
  }
  for (lfm2::LinearOp linear : group)
    linear.erase();
}

int64_t Stacker::run() {
  // Decide on all before the first change: `users` does not follow changes.
  plans.remove_if([&](auto &plan) { return !ownsAllUses(plan.second); });
  int64_t total = 0;
  for (auto &[names, groups] : plans) {
    total += groups.front().size();
    stack(groups);
  }
  return total;
}

namespace {
struct StackLinears : lfmc::impl::StackLinearsBase<StackLinears> {
  void runOnOperation() override {
    Stacker stacker(getOperation());
    for (auto function : getOperation().getOps<func::FuncOp>())
      stacker.collect(function);
    stacker.run();
  }
};
} // namespace
