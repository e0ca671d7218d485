"""`perf ir`: compares instruction counts, which no neighbour on the machine can change.

Each binary runs under callgrind with two numbers of steps; the difference divided by the difference of the steps is
what one step costs, free of start-up.  Counts are plain instructions, not modelled cycles.
"""

import dataclasses
import os
import re
import subprocess
import tempfile

from tools.perf import contexts, result_file, verdicts
from tools.perf.errors import InputError
from tools.perf.measure import SIDES
from tools.perf.runner import BenchmarkFailure

MIN_EFFECT = 0.01
NUM_STEPS = (1, 3)

# valgrind 3.19 knows no AVX-512; one thread, because valgrind runs one at a time and waiting would be counted.
_ENVIRONMENT = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}
# The calibration kernel has nothing to say here, and takes seconds under valgrind.
_ARGUMENTS = ("--calibration_runs=0",)


@dataclasses.dataclass(frozen=True)
class Count:
    instructions_per_step: float
    context: dict


def count(program, timeout_s, arguments=()):
    """Instructions of one step of a program started with `arguments`.  Raises BenchmarkFailure or UnreadableResult."""
    totals = []
    for num_steps in NUM_STEPS:
        total, context = _run(program, num_steps, timeout_s, arguments)
        totals.append(total)
    per_step = (totals[1] - totals[0]) / (NUM_STEPS[1] - NUM_STEPS[0])
    if per_step <= 0:
        raise BenchmarkFailure(f"{NUM_STEPS[1]} steps took no more instructions than {NUM_STEPS[0]}: {totals}")
    return Count(per_step, context)


def judge(counts):
    """Returns (verdict, shift, note) of {side: [instructions per step of each repeat]}."""
    shift = min(counts["cand"]) / min(counts["base"]) - 1
    spread = max(max(values) / min(values) - 1 for values in counts.values())
    if spread > MIN_EFFECT / 4:
        return verdicts.UNSURE, shift, f"counts of one binary differ by {spread:.3%} between runs"
    if shift >= MIN_EFFECT:
        return verdicts.SLOWER, shift, ""
    if shift <= -MIN_EFFECT:
        return verdicts.FASTER, shift, ""
    return verdicts.SAME, shift, ""


def compare(base, cand, num_repeats, timeout_s, progress):
    """The rows of the report, one per target."""
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
            numbers = f"{min(counts['base']):24,.0f} {min(counts['cand']):16,.0f} {row['shift']:+9.3%}"
        note = f" ({row['note']})" if row["note"] else ""
        lines.append(f"{numbers}  {row['verdict']:8} {row['target']}{note}")
    return "\n".join(lines) + "\n"


def _compare_target(label, base_program, cand_program, num_repeats, timeout_s):
    counts, context = {}, {}
    for side, program in zip(SIDES, (base_program, cand_program)):
        try:
            repeats = [count(program, timeout_s) for _ in range(num_repeats)]
        except BenchmarkFailure as failure:
            return _row(label, verdicts.ERROR, f"{side}: {failure}")
        except result_file.UnreadableResult as failure:
            return _row(label, verdicts.UNREADABLE, f"{side}: {failure}")
        counts[side] = [repeat.instructions_per_step for repeat in repeats]
        context[side] = repeats[0].context
    problems = contexts.mismatches(context["base"], context["cand"])
    problems += [contexts.unfit_build(context[side]) for side in SIDES if contexts.unfit_build(context[side])]
    if problems:
        raise InputError(f"the two sides cannot be compared:\n  {label}: " + f"\n  {label}: ".join(problems))
    verdict, shift, note = judge(counts)
    return _row(label, verdict, note, counts, shift)


def _row(label, verdict, note, counts=None, shift=None):
    return {"target": label, "verdict": verdict, "note": note, "counts": counts, "shift": shift}


def _run(program, num_steps, timeout_s, arguments):
    """Total instructions of one process, and its context."""
    with tempfile.TemporaryDirectory(prefix="perf_ir_") as folder:
        counts_path, json_path = os.path.join(folder, "counts"), os.path.join(folder, "result.json")
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={counts_path}", *program, f"--json_out={json_path}",
            f"--n_steps={num_steps}", *_ARGUMENTS, *arguments,
        ]
        try:
            run = subprocess.run(
                command, env={**os.environ, **_ENVIRONMENT}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=timeout_s)
        except FileNotFoundError as error:
            raise InputError("valgrind is not installed: apt-get install valgrind") from error
        except subprocess.TimeoutExpired as error:
            raise BenchmarkFailure(f"still running under valgrind after {timeout_s:g} s") from error
        if run.returncode != 0:
            last_line = (run.stderr.strip().splitlines() or ["no message"])[-1]
            raise BenchmarkFailure(f"exit code {run.returncode} under valgrind: {last_line[:300]}")
        with open(json_path, encoding="utf-8", errors="replace") as file:
            result = result_file.parse_result(file.read(), os.path.basename(program[-1]))
        with open(counts_path, encoding="utf-8", errors="replace") as file:
            total = re.search(r"^totals: (\d+)", file.read(), re.MULTILINE)
        if not total:
            raise BenchmarkFailure("callgrind wrote no totals")
        return int(total.group(1)), result.context
