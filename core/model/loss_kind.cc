#include "core/model/loss_kind.h"

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace sluice {

std::string_view Name(LossKind loss) {
  switch (loss) {
    case LossKind::kMean:
      return "mean";
    case LossKind::kProjection:
      return "projection";
    case LossKind::kNone:
      return "none";
  }
  return "";
}

std::vector<std::string> LossNames() { return {"mean", "projection"}; }

LossKind ParseLoss(std::string_view name) {
  for (const LossKind loss : {LossKind::kMean, LossKind::kProjection}) {
    if (Name(loss) == name) return loss;
  }
  throw Error(UnknownName("loss", name, LossNames()));
}

}  // namespace sluice
