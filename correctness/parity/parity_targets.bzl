"""The table of parity tests: rows of schemes, models and sizes, and the targets made from them."""

# Small models of sizes that divide by as little as possible.
MODELS = {
    # Heads and features divide by 8.
    "even": "--num_layers=8 --hidden_size=48 --seq_len=24 --num_heads=8 --batch_size=8",
    # Nothing divides, not even layers by stages.
    "odd": "--num_layers=7 --hidden_size=35 --seq_len=13 --num_heads=5 --batch_size=6",
    # One head, one sequence, one more layer than ranks.
    "thin": "--num_layers=5 --hidden_size=20 --seq_len=9 --num_heads=1",
}

def _row(scheme, model, world_size, flags = [], variant = ""):
    return struct(scheme = scheme, model = model, world_size = world_size, flags = flags, variant = variant)

_PREFIX = "--prefix_len=5"
_SEQUENCE = "--plan=megatron_sequence_parallel"
_TENSOR = "--tensor_parallel_size=2"
_DATA = "--data_parallel_size=2"

TABLE = [
    _row("single", "odd", 1),
    _row("single", "odd", 1, ["--slices=1,5,3,4", "--num_micro_batches=3", "--prefix_len=5"], "slices_prefix"),
    _row("single", "even", 4, ["--data_parallel_size=4", "--n_slices=3"], "data"),
    _row("gpipe", "odd", 3, ["--num_micro_batches=6"]),
    _row("gpipe", "even", 8, ["--num_micro_batches=4"]),
    _row("one_f_one_b", "odd", 2, ["--num_micro_batches=6"]),
    _row("one_f_one_b", "odd", 4, ["--num_micro_batches=3"]),
    _row("one_f_one_b", "even", 8, [_DATA, "--num_micro_batches=2"], "data"),
    _row("interleaved_one_f_one_b", "odd", 2, ["--num_micro_batches=6", "--num_chunks=3"]),
    _row("interleaved_one_f_one_b", "even", 4, ["--num_micro_batches=4", "--num_chunks=2"]),
    _row("seqpipe", "odd", 3, ["--n_slices=4", "--num_micro_batches=2"]),
    _row("seqpipe", "odd", 4, [_PREFIX, "--slices=6,1,4,2", "--num_micro_batches=3"], "uneven_prefix"),
    _row("seqpipe", "thin", 5, ["--n_slices=9"]),
    _row("seqpipe", "even", 8, ["--n_slices=8", "--num_micro_batches=4"]),
    _row("seqpipe", "even", 8, [_TENSOR, _DATA, "--n_slices=5", "--num_micro_batches=2"], "tensor_data"),
    _row("seq_one_f_one_b", "odd", 4, ["--slices=5,4,3,1", "--num_micro_batches=3"]),
    _row("seq_one_f_one_b", "thin", 3, [_PREFIX, "--n_slices=4"], "prefix"),
    _row("seq_interleaved", "odd", 2, ["--n_slices=4", "--num_chunks=3", "--num_micro_batches=3"]),
    _row("seq_interleaved", "even", 4, ["--n_slices=8", "--num_chunks=2", "--num_micro_batches=2"]),
    _row("zero_bubble_h1", "odd", 3, ["--num_micro_batches=6"]),
    _row("zero_bubble_h1", "even", 8, [_TENSOR, "--num_micro_batches=2", "--pipeline_parallel_size=4"], "tensor"),
    _row("zero_bubble_h2", "odd", 4, ["--num_micro_batches=6"]),
    _row("zero_bubble_v", "odd", 3, ["--num_micro_batches=6"]),
    _row("zero_bubble_v", "even", 4, ["--num_micro_batches=8"]),
    _row("v_half", "odd", 3, ["--num_micro_batches=6"]),
    _row("v_min", "even", 4, ["--num_micro_batches=4"]),
    _row("dualpipe_v", "odd", 3, ["--num_micro_batches=6"]),
    _row("dualpipe_v", "even", 4, [_TENSOR, "--num_micro_batches=8"], "tensor"),
    _row("seq_zero_bubble_h1", "odd", 4, ["--slices=5,4,3,1", "--num_micro_batches=3"]),
    _row("seq_zero_bubble_h1", "even", 4, [_SEQUENCE, _TENSOR, _PREFIX, "--slices=8,12,4"], "sequence_prefix"),
    _row("seq_interleaved_zero_bubble", "odd", 2, ["--n_slices=4", "--num_chunks=3", "--num_micro_batches=3"]),
    _row("seq_interleaved_zero_bubble", "even", 4, [_DATA, "--n_slices=4", "--num_chunks=2"], "data"),
    _row("megatron", "odd", 5, [_PREFIX], "prefix"),
    _row("megatron", "even", 2, ["--n_slices=3", "--num_micro_batches=2"]),
    _row("megatron", "even", 8),
    _row("megatron", "even", 2, [_SEQUENCE], "sequence"),
    _row("megatron", "even", 4, [_SEQUENCE, _PREFIX, "--slices=8,12,4", "--num_micro_batches=2"], "sequence_prefix"),
    _row("one_f_one_b", "even", 8, [_SEQUENCE, _TENSOR, _DATA, "--num_micro_batches=2"], "sequence_data"),
    _row("zero_bubble_v", "even", 4, [_SEQUENCE, _TENSOR, "--num_micro_batches=4"], "sequence"),
    _row("seq_interleaved", "even", 4, [_SEQUENCE, _TENSOR, "--num_chunks=2", "--n_slices=4"], "sequence"),
]

# Schedules from files (--schedule_file): those that PyTorch wrote, and two in the text form.
SCHEDULE_FILES = [
    "pytorch_csv/ScheduleDualPipeV_p2_v2_m4.csv",
    "pytorch_csv/ScheduleInterleaved1F1B_p2_v2_m4.csv",
    "pytorch_csv/ScheduleInterleavedZeroBubble_p2_v2_m4.csv",
    "pytorch_csv/ScheduleLoopedBFS_p2_v2_m4.csv",
    "pytorch_csv/ScheduleZBVZeroBubble_p2_v2_m4.csv",
    "schedule_corpus/two_slices.txt",
]

def parity_tests():
    """Makes a test <scheme>_<model>_w<world_size>_cpu[_<variant>] of every row, and one of every schedule file."""
    for path in SCHEDULE_FILES:
        file = "//parallel/schedule:testdata/" + path
        native.sh_test(
            name = "file_%s_even_cpu" % path.split("/")[1].split(".")[0],
            size = "small",
            srcs = [":parity_program"],
            args = ["--schedule_file=$(location %s)" % file] + MODELS["even"].split(" "),
            data = [file],
            tags = ["cpu:2"],
        )
    for row in TABLE:
        name = "%s_%s_w%d_cpu" % (row.scheme, row.model, row.world_size)
        if row.variant:
            name += "_" + row.variant
        scheme = ["--scheme=" + row.scheme, "--world_size=%d" % row.world_size]
        native.sh_test(
            name = name,
            size = "small",
            srcs = [":parity_program"],
            args = scheme + MODELS[row.model].split(" ") + row.flags,
            tags = ["cpu:2"] if row.world_size > 1 else [],
        )
