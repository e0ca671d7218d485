#include "bench/harness/ceilings_flag.h"

#include "core/cli/flags.h"

SLUICE_FLAG_GROUP("Ceilings");
SLUICE_CHOICE_FLAG(ceilings, "measure", (std::vector<std::string>{"measure", "none"}),
                   "whether to measure the machine's peak rates and print shares of them");

namespace sluice {

bool MeasuresCeilings() { return FLAGS_ceilings == "measure"; }

}  // namespace sluice
