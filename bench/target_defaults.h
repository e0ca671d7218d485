// The flags of a benchmark target: those of its rule where the command line does not say otherwise.
//
// A target's default is left out where the command line gives the same flag, or one that it cannot
// hold beside: `//bench:seqpipe_test_w2_cpu -- --slices=64,64` leaves out the target's
// --n_slices=8.
#pragma once

#include <string>
#include <vector>

namespace sluice {

// `given` is the command line after the program's name, `defaults` are "--name=value", of which the
// first of two with one name holds. Returns `given` and behind it the defaults that hold. What is
// wrong in `given` is left for ParseFlags to refuse.
std::vector<std::string> WithTargetDefaults(const std::vector<std::string>& given,
                                            const std::vector<std::string>& defaults);

}  // namespace sluice
