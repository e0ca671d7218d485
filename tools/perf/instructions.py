"""`perf ir`: compares instruction counts, which no neighbour on the machine can change.

Each binary runs one timed pass under callgrind, which counts what happens inside sluice::RunCounted
(bench/harness/counted.h): the timed work of every benchmark of the program, and neither start-up nor the writing of
results.  Counts are plain instructions, not modelled cycles.

Only what runs on one thread of the CPU can be counted: threads that wait for each other spin as long as the machine
makes them, and a GPU's instructions are not the host's.
"""

import os
import re
import subprocess
import tempfile

from tools.perf import contexts, machine, processes, result_file, row_text, verdicts
from tools.perf.errors import InputError
from tools.perf.measure import SIDES
from tools.perf.runner import ENVIRONMENT, BenchmarkFailure, Runner, ceilings_arguments

# What is to be found is one percent more work; the little around it that does not grow with it dilutes that.
MIN_EFFECT = 0.009

_COUNTED_FUNCTION = "sluice::RunCounted*"
_ONE_STEP = ("--n_steps=1",)
# valgrind 3.19 knows no AVX-512, and takes hundreds of its own instructions for a fused multiply-add: this keeps all
# products to OpenBLAS's kernels that have neither, five times as fast under it as those that fuse.
_ENVIRONMENT = {**ENVIRONMENT, "SLUICE_NO_AVX512": "1", "OPENBLAS_CORETYPE": "Sandybridge"}


def count(program, timeout_s, arguments=()):
    """Instructions of one step of all benchmarks of a program.  Raises BenchmarkFailure."""
    with tempfile.TemporaryDirectory(prefix="perf_ir_") as folder:
        counts_path = os.path.join(folder, "counts")
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={counts_path}",
            f"--toggle-collect={_COUNTED_FUNCTION}", *program, f"--json_out={os.path.join(folder, 'result.json')}",
            *ceilings_arguments(tuple(program)), *_ONE_STEP, *arguments,
        ]
        try:
            run = processes.run(
                command, timeout_s, env={**os.environ, **_ENVIRONMENT}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError as error:
            raise InputError("valgrind is not installed: apt-get install valgrind") from error
        except subprocess.TimeoutExpired as error:
            raise BenchmarkFailure(f"still running under valgrind after {timeout_s:g} s") from error
        if run.returncode != 0:
            raise BenchmarkFailure(f"exit code {run.returncode} under valgrind: {_last_own_line(run.stderr)}")
        with open(counts_path, encoding="utf-8", errors="replace") as file:
            total = re.search(r"^totals: (\d+)", file.read(), re.MULTILINE)
    if not total or int(total.group(1)) == 0:
        raise BenchmarkFailure(f"callgrind counted nothing in {_COUNTED_FUNCTION}")
    return int(total.group(1))


def judge(counts):
    """Returns (verdict, shift, note) of {side: [count of each repeat]}."""
    shift = counts["cand"][0] / counts["base"][0] - 1
    for side in SIDES:
        if len(set(counts[side])) > 1:
            return verdicts.UNSURE, shift, f"counts of {side} differ between runs: {sorted(set(counts[side]))}"
    if shift >= MIN_EFFECT:
        return verdicts.SLOWER, shift, ""
    if shift <= -MIN_EFFECT:
        return verdicts.FASTER, shift, ""
    return verdicts.SAME, shift, ""


def compare(base, cand, num_repeats, timeout_s, progress):
    """The rows of the report, one per target.  Raises InputError when there is none, or the sides were not built
    alike."""
    labels = sorted(base.programs.keys() | cand.programs.keys())
    if not labels:
        raise InputError("no target on either side matches")
    rows = []
    for index, label in enumerate(labels, start=1):
        progress(index, len(labels), label)
        if label not in cand.programs:
            rows.append(_row(label, verdicts.MISSING, "cand has no such target"))
        elif label not in base.programs:
            rows.append(_row(label, verdicts.NEW, "base has no such target"))
        else:
            rows.append(_compare_target(label, base.programs[label], cand.programs[label], num_repeats, timeout_s))
    return sorted(rows, key=lambda row: (verdicts.ORDER.index(row["verdict"]), row["target"]))


def terminal(rows):
    lines = [f"{'instructions/step base':>24} {'cand':>16} {'shift':>9}  {'verdict':8} target"]
    for row in rows:
        counts = row["counts"]
        numbers = f"{'-':>24} {'-':>16} {'-':>9}"
        if counts:
            numbers = f"{counts['base'][0]:24,} {counts['cand'][0]:16,} {row['shift']:+9.3%}"
        lines.append(f"{numbers}  {row['verdict']:8} {row_text.printable(row['target'])}")
        lines += row_text.wrapped(row["note"], indent=" " * 8)
    return "\n".join(lines) + "\n"


def why_not_counted(context):
    """Why counts of this program would mean nothing, or an empty string."""
    device = context.get("device", "cpu")
    if device != "cpu":
        return f"not counted: it runs on {device}"
    if result_file.is_multi_rank(context):
        return f"not counted: {context['world_size']} ranks wait for each other"
    num_threads = result_file.largest_number(context, "num_threads")
    if num_threads != 1:
        return f"not counted: {num_threads:g} threads wait for each other"
    return ""


def _compare_target(label, base_program, cand_program, num_repeats, timeout_s):
    programs = dict(zip(SIDES, (base_program, cand_program)))
    runner = Runner(timeout_s)
    context, counts = {}, {}
    try:
        for side, program in programs.items():
            context[side] = runner.run(program, machine.allowed_cpus(), _ONE_STEP).context
        problems = contexts.mismatches(context["base"], context["cand"])
        problems += [contexts.unfit_build(context[side]) for side in SIDES if contexts.unfit_build(context[side])]
        if problems:
            raise InputError(f"the two sides cannot be compared:\n  {label}: " + f"\n  {label}: ".join(problems))
        reason = why_not_counted(context["cand"])
        if reason:
            return _row(label, verdicts.SKIPPED, reason)
        for side, program in programs.items():
            counts[side] = [count(program, timeout_s) for _ in range(num_repeats)]
    except BenchmarkFailure as failure:
        return _row(label, verdicts.ERROR, f"{side}: {failure}")
    except result_file.UnreadableResult as failure:
        return _row(label, verdicts.UNREADABLE, f"{side}: {failure}")
    verdict, shift, note = judge(counts)
    return _row(label, verdict, note, counts, shift)


def _row(label, verdict, note, counts=None, shift=None):
    return {"target": label, "verdict": verdict, "note": note, "counts": counts, "shift": shift}


def _last_own_line(stderr):
    """The last line that the program wrote: valgrind's own begin with its process number."""
    lines = [line for line in stderr.splitlines() if line.strip() and not re.match(r"==\d+==", line)]
    return lines[-1][:300] if lines else "no message"
