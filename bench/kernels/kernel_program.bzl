"""Benchmark programs of single kernels, each with the smoke test that keeps it alive."""

load("//tools/build_defs:cc.bzl", "sluice_cc_binary")

def kernel_program(name, srcs, deps = []):
    """A program //bench/kernels:<name> and its test <name>_smoke_test.

    The test runs every benchmark of the program on the smallest model, with and without a prefix.

    Args:
      name: of the program.
      srcs: its one source file.
      deps: dependencies other than :kernel_program.
    """
    sluice_cc_binary(
        name = name,
        srcs = srcs,
        tags = ["perf_target"],
        visibility = ["//tools/perf:__subpackages__"],
        deps = deps + [":kernel_program"],
    )
    native.sh_test(
        name = name + "_smoke_test",
        size = "small",
        srcs = [":" + name],
        args = [
            "--model=test",
            "--slice_lens=5,128",
            "--prefix_lens=0,3",
            "--n_steps=2",
            "--threads=2",
        ],
    )
