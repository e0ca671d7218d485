// The program of one scheme: times its forward and its step. //bench:gpipe, //bench:seqpipe, ...
// and the target of each configuration are this with defaults of their own
// (bench/scheme_targets.bzl).
#pragma once

#include <string>

namespace sluice {

// `target_defaults` are flags separated by spaces, which hold unless the command line says
// otherwise (bench/target_defaults.h).
int SchemeMain(int argc, char** argv, const std::string& target_defaults);

}  // namespace sluice
