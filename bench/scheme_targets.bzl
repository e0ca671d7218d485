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

def configuration_target(scheme, model, world_size, flags = [], device = "cpu", short_flags = []):
    """One configuration as a target of its own, and a cut of it that regressions are watched on.

    The first is `<scheme>_<model>_w<world_size>_<device>`. The second, with "_short" behind it, runs the same code on
    fewer layers, so that tools/perf can afford dozens of its processes: its timed passes are to take a quarter of a
    second, as much as its start.

    Args:
      scheme: its name.
      model: its name.
      world_size: ranks.
      flags: of both.
      device: "cpu" or "cuda".
      short_flags: of the second, before the others.
    """
    name = "%s_%s_w%d_%s" % (scheme, model.replace("-", "_"), world_size, device)
    defaults = [
        "--scheme=" + scheme,
        "--model=" + model,
        "--world_size=%d" % world_size,
        "--device=" + device,
    ] + flags
    smoke_flags = ["--num_layers=%d" % (2 * world_size), "--seq_len=64"]
    scheme_program(
        name = name,
        defaults = defaults,
        smoke_flags = smoke_flags,
    )
    scheme_program(
        name = name + "_short",
        # The first of two that give the same flag holds.
        defaults = short_flags + defaults,
        smoke_flags = smoke_flags,
        tags = ["perf_target"],
    )
