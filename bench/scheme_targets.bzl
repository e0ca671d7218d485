"""Benchmark programs of schemes: one that takes any configuration, or one for each configuration."""

load("//tools/build_defs:cc.bzl", "sluice_cc_binary")

def scheme_program(name, defaults, smoke_flags, tags = []):
    """A program //bench:<name>, and its test <name>_smoke_test, which times one step.

    Args:
      name: of the program.
      defaults: flags that hold where the command line does not give them, "--scheme=gpipe".
      smoke_flags: flags of the test.
      tags: of the program.
    """
    sluice_cc_binary(
        name = name,
        srcs = ["scheme_main.cc"],
        local_defines = ["SLUICE_TARGET_DEFAULTS=\\\"%s\\\"" % " ".join(defaults).replace(" ", "\\ ")],
        tags = tags,
        visibility = ["//tools:__subpackages__"],
        deps = ["//bench:scheme_main_deps"],
    )
    native.sh_test(
        name = name + "_smoke_test",
        size = "small",
        srcs = [":" + name],
        args = smoke_flags + ["--n_steps=2"],
    )

def configuration_target(scheme, model, world_size, flags = [], device = "cpu"):
    """One configuration as a target of its own, `<scheme>_<model>_w<world_size>_<device>`."""
    scheme_program(
        name = "%s_%s_w%d_%s" % (scheme, model.replace("-", "_"), world_size, device),
        defaults = [
            "--scheme=" + scheme,
            "--model=" + model,
            "--world_size=%d" % world_size,
            "--device=" + device,
        ] + flags,
        smoke_flags = ["--num_layers=%d" % (2 * world_size), "--seq_len=64"],
        tags = ["perf_target"],
    )
