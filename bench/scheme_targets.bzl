"""The benchmark programs of schemes, as two flat tables."""

load("//tools/build_defs:cc.bzl", "sluice_cc_binary")

# Each value of --scheme, with the flags of its smoke test. A program //bench:<scheme> takes any configuration.
SCHEMES = {
    "dualpipe_v": "--world_size=2 --batch_size=4 --num_micro_batches=4",
    "gpipe": "--world_size=2 --batch_size=4 --num_micro_batches=4",
    "interleaved_one_f_one_b": "--world_size=2 --batch_size=4 --num_micro_batches=4 --num_chunks=2",
    "megatron": "--world_size=2",
    "one_f_one_b": "--world_size=3 --batch_size=4 --num_micro_batches=4",
    "seq_interleaved": "--world_size=2 --batch_size=2 --num_micro_batches=2 --n_slices=4 --num_chunks=2",
    "seq_interleaved_zero_bubble": "--world_size=2 --batch_size=2 --num_micro_batches=2 --n_slices=4 --num_chunks=2",
    "seq_one_f_one_b": "--world_size=2 --n_slices=4",
    "seq_zero_bubble_h1": "--world_size=2 --n_slices=4",
    "seqpipe": "--world_size=4 --slices=20,16,12",
    "single": "--threads=2",
    "v_half": "--world_size=2 --batch_size=4 --num_micro_batches=4",
    "v_min": "--world_size=2 --batch_size=4 --num_micro_batches=4",
    "zero_bubble_h1": "--world_size=2 --batch_size=4 --num_micro_batches=4",
    "zero_bubble_h2": "--world_size=2 --batch_size=4 --num_micro_batches=4",
    "zero_bubble_v": "--world_size=2 --batch_size=4 --num_micro_batches=4",
}

# Configurations that users request by name: (scheme, model, ranks, flags, flags of the short target). On several
# ranks the short target times the step alone, which includes all that a forward does.
CONFIGURATIONS = [
    ("single", "test", 1, "--threads=1", "--num_layers=4"),
    ("single", "gpt2-1hm", 1, "--threads=1 --num_layers=2", "--num_layers=1 --seq_len=64"),
    ("gpipe", "test", 2, "--batch_size=4 --num_micro_batches=4", "--num_layers=2 --pass=step --n_steps=10"),
    ("megatron", "test", 2, "", "--num_layers=2 --pass=step --n_steps=40"),
    ("one_f_one_b", "test", 2, "--batch_size=4 --num_micro_batches=4", "--num_layers=2 --pass=step --n_steps=10"),
    (
        "seq_one_f_one_b",
        "test",
        2,
        "--batch_size=2 --num_micro_batches=2 --n_slices=4",
        "--num_layers=2 --pass=step --n_steps=20",
    ),
    ("seqpipe", "test", 2, "--n_slices=8", "--num_layers=2 --pass=step --n_steps=25"),
    ("seqpipe", "gpt2-1hm", 2, "--n_slices=8 --num_layers=2", "--n_slices=4 --seq_len=64 --pass=step"),
]

# The schedule of the smoke test of //bench:from_file, which runs the schedule of any --schedule_file.
SCHEDULE_FILE = "testdata/pytorch_csv/ScheduleDualPipeV_p2_v2_m4.csv"

def _scheme_program(name, defaults, smoke_flags, tags = [], smoke_data = []):
    """A program //bench:<name>, and its test <name>_smoke_test, which times two passes.

    Args:
      name: of the program.
      defaults: flags that apply unless the command line contradicts them: "--scheme=gpipe --world_size=2".
      smoke_flags: flags of the test.
      tags: of the program.
      smoke_data: files that the flags of the test name.
    """
    sluice_cc_binary(
        name = name,
        srcs = ["scheme_target.cc"],
        local_defines = ["SLUICE_TARGET_DEFAULTS=\\\"%s\\\"" % defaults.replace(" ", "\\ ")],
        tags = tags,
        visibility = ["//tools:__subpackages__"],
        deps = ["//bench:scheme_main"],
    )
    native.sh_test(
        name = name + "_smoke_test",
        size = "small",
        srcs = [":" + name],
        args = smoke_flags.split(" ") + ["--n_steps=2"],
        data = smoke_data,
    )

def _configuration(scheme, model, world_size, flags, short_flags):
    """One configuration as a program, and a short cut of it in which tools/perf looks for regressions.

    The first is `<scheme>_<model>_w<world_size>_cpu`. The second has the suffix "_short". It runs the same code on
    fewer layers, so that tools/perf can afford dozens of its processes: its timed passes should take a quarter of a
    second, as long as its start.
    """
    name = "%s_%s_w%d_cpu" % (scheme, model.replace("-", "_"), world_size)
    defaults = "--scheme=%s --model=%s --world_size=%d --device=cpu %s" % (scheme, model, world_size, flags)
    smoke_flags = "--num_layers=%d --seq_len=64" % (2 * world_size)
    _scheme_program(name, defaults.strip(), smoke_flags)

    # The first of two defaults for one flag applies.
    _scheme_program(name + "_short", (short_flags + " " + defaults).strip(), smoke_flags, tags = ["perf_target"])

def scheme_targets():
    """The programs of both tables, each with its smoke test."""
    for scheme, smoke_flags in SCHEMES.items():
        _scheme_program(scheme, "--scheme=" + scheme, "--num_layers=8 --seq_len=48 " + smoke_flags)
    for row in CONFIGURATIONS:
        _configuration(*row)
    _scheme_program(
        "from_file",
        "",
        "--schedule_file=parallel/schedule/%s --num_layers=8 --seq_len=48 --batch_size=4" % SCHEDULE_FILE,
        smoke_data = ["//parallel/schedule:" + SCHEDULE_FILE],
    )
