// The flags of a benchmark target: the defaults of its row, unless the command line contradicts
// them.
//
// A default is dropped where the command line gives the same flag or a contradicting one:
// `//bench:seqpipe_test_w2_cpu -- --slices=64,64` drops the target's --n_slices=8.
#pragma once

#include <string>
#include <vector>

namespace sluice {

// `given` is the command line after the program's name; `defaults` are "--name=value", and the
// first of two with the same name applies. Returns `given` followed by the remaining defaults.
// ParseFlags reports errors in `given`.
std::vector<std::string> WithTargetDefaults(const std::vector<std::string>& given,
                                            const std::vector<std::string>& defaults);

}  // namespace sluice
