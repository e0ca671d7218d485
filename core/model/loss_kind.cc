#include "core/model/loss_kind.h"

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace sluice {

std::string_view Name(LossKind loss) { return loss == LossKind::kMean ? "mean" : "projection"; }

std::vector<std::string> LossNames() { return {"mean", "projection"}; }

LossKind ParseLoss(std::string_view name) {
  for (const LossKind loss : {LossKind::kMean, LossKind::kProjection}) {
    if (Name(loss) == name) return loss;
  }
  throw Error(UnknownName("loss", name, LossNames()));
}

}  // namespace sluice
