"""The project's C++ rules: one place for the warnings and the instruction set."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Werror",
    # Designated initialisers leave members at their defaults on purpose.
    "-Wno-missing-field-initializers",
]

# AVX2 and FMA: the vector kernels are written for the compiler to vectorise, and every x86 server since 2013 has these.
# core/cli refuses to start on a CPU without them. Matrix products choose at run time (core/kernels/cpu/gemm.h).
INSTRUCTION_SET = select({
    "//tools/build_defs:x86_64": ["-march=x86-64-v3"],
    "//conditions:default": [],
})

COPTS = WARNINGS + INSTRUCTION_SET

def sluice_cc_library(copts = [], **kwargs):
    cc_library(copts = COPTS + copts, **kwargs)

def sluice_cc_binary(copts = [], **kwargs):
    cc_binary(copts = COPTS + copts, **kwargs)

def sluice_cc_test(copts = [], deps = [], size = "small", **kwargs):
    cc_test(
        size = size,
        copts = COPTS + copts,
        deps = deps + ["@googletest"],
        **kwargs
    )
