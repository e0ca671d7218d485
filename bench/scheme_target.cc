// One target: the program of a scheme with the defaults of its rule (bench/scheme_targets.bzl).
#include "bench/scheme_main.h"

int main(int argc, char** argv) { return sluice::SchemeMain(argc, argv, SLUICE_TARGET_DEFAULTS); }
