"""`perf selftest`: measures the tool's own false alarms (aa) and power (inject) on a benchmark of known cost.

A trial is one whole `perf ab` decision about one target, and has a verdict for each of its two quantities, the typical
time and the tail.  Both sides run the same binary; in `inject` cand really does --pct percent more work, in all steps
or in --share of them.  Trials are added to a file as they end, so that many short runs make one long one.

Each trial says how it was made (METHOD and the rules) and what the machine was doing: "noise" is beside the bundled
noise generator, "quiet" is where other processes and the hypervisor used next to nothing, "shared" is the rest.
"""

import contextlib
import json
import os
import sys
import time

from tools.perf import machine, measure, noise_generator, whole_file
from tools.perf.ab import Comparer
from tools.perf.errors import InputError
from tools.perf.runner import ENVIRONMENT, Runner

SCHEMA = 3
# Before there was a tail; all steps of cand did more work.
_SCHEMA_WITHOUT_TAIL = 2
RESULTS = "docs/results/perf_selftest.jsonl"

# What the value of a process is, and what it is started with; trials made otherwise are never summed up with these.
METHOD = {
    "value": "mean of the faster half", "tail": "90th percentile", "calibration_version": 2,
    "environment": " ".join(f"{key}={value}" for key, value in sorted(ENVIRONMENT.items())),
}

QUIET, SHARED, NOISE = "quiet", "shared", "noise"
MAX_QUIET_OTHER_CPUS = 0.1
MAX_QUIET_STEAL_SHARE = 0.02

_LABEL = "//tools/perf/known_cost:known_cost_benchmark"
_BENCHMARK = "known_cost"


def run_trial(program, pct, share, rules, seed, cpus):
    """Returns the trial as it is recorded.  `share` of cand's steps do `pct` percent more work."""
    work = {"base": 1000, "cand": round(1000 + 10 * pct)}
    arguments = {
        side: (f"--work_permille={permille}", f"--slow_permille_of_steps={round(1000 * share)}")
        for side, permille in work.items()
    }
    target = measure.Target(_LABEL, {side: program for side in measure.SIDES}, cpus, [_BENCHMARK], {}, arguments)
    comparer = Comparer(rules, Runner(timeout_s=60), seed, budget_s=600)
    comparer.measure([target])
    row, = comparer.rows
    return {
        "seed": seed, "pct": pct, "share": share, "note": row["note"], "pairs": row["num_pairs"],
        "verdict": row.get("typical_verdict", row["verdict"]),
        "tail": {key: _rounded(row.get("tail", {}).get(key)) for key in ("verdict", "shift", "p_slower", "phases")},
        "shift": _rounded(row.get("shift")), "p_slower": _rounded(row.get("p_slower")), "phases": row["phases"],
        # [time_ns, calibration_ns, tail_ns] of every process, in order.
        "samples": {
            phase: {side: [[round(s[key]) for key in ("time_ns", "calibration_ns", "tail_ns")] for s in samples]
                    for side, samples in by_side.items()}
            for phase, by_side in row["samples"].items()
        },
    }


class Trials:
    """Runs trials of one kind, each added to the file `out` (where given) as one line."""

    def __init__(self, program, pct, share, rules, is_beside_noise, conditions, out):
        self._program = program
        self._pct = pct
        self._share = share
        self._rules = rules
        self._is_beside_noise = is_beside_noise
        self._conditions = conditions
        self._out = out

    def num_done(self):
        """How many trials of this kind the file holds already."""
        if not self._out or not os.path.exists(self._out):
            return 0
        like_these = {"pct": self._pct, "share": self._share, "method": METHOD, "rules": vars(self._rules),
                      "machine_class": self._conditions["machine_class"]}
        return sum(
            all(trial[key] == value for key, value in like_these.items())
            and (trial["condition"] == NOISE) == self._is_beside_noise
            for trial in read(self._out))

    def run(self, count, first_seed, cpus, progress):
        """Runs `count` trials and returns them."""
        noise = (noise_generator.running(len(cpus) + 1, first_seed) if self._is_beside_noise
                 else contextlib.nullcontext())
        trials = []
        with noise:
            for index in range(count):
                trial = self._run_one(first_seed + index, cpus[-1:])
                trials.append(trial)
                if self._out:
                    self._add(trial)
                progress(index + 1, count, trial)
        return trials

    def _add(self, trial):
        old_text = ""
        if os.path.exists(self._out):
            with open(self._out, encoding="utf-8") as file:
                old_text = file.read()
        if old_text and not old_text.endswith("\n"):
            old_text += "\n"
        whole_file.write(self._out, old_text + json.dumps(trial, sort_keys=True) + "\n")

    def _run_one(self, seed, cpus):
        started, steal, others = time.monotonic(), machine.StealMeter(), machine.OthersMeter()
        trial = run_trial(self._program, self._pct, self._share, self._rules, seed, cpus)
        steal_share, other_cpus = steal.share(), others.num_cpus()
        condition = NOISE if self._is_beside_noise else condition_of(other_cpus, steal_share)
        return {
            **trial, "schema": SCHEMA, "method": METHOD, "rules": vars(self._rules), "condition": condition,
            "load": round(os.getloadavg()[0], 2), "steal": round(steal_share, 4), "other_cpus": round(other_cpus, 3),
            "seconds": round(time.monotonic() - started, 1), **self._conditions,
        }


def condition_of(other_cpus, steal_share):
    is_quiet = other_cpus <= MAX_QUIET_OTHER_CPUS and steal_share <= MAX_QUIET_STEAL_SHARE
    return QUIET if is_quiet else SHARED


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            trials = [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise InputError(f"selftest results {path}: {error}") from error
    schemas = {trial.get("schema") if isinstance(trial, dict) else None for trial in trials}
    unknown = schemas - {SCHEMA, _SCHEMA_WITHOUT_TAIL}
    if unknown:
        raise InputError(f"selftest results {path}: unknown schema {unknown.pop()!r}; this version reads "
                         f"{_SCHEMA_WITHOUT_TAIL} and {SCHEMA}")
    return [{"share": 1.0, "tail": None, **trial} for trial in trials]


def print_progress(index, count, trial):
    """One line a trial, with the time that the rest will take if it goes on like the last."""
    left_s = (count - index) * trial["seconds"]
    print(
        f"perf: trial {index} of {count}: {trial['verdict']}, tail {trial['tail']['verdict']}, after {trial['pairs']} "
        f"pairs, {trial['condition']}; "
        f"about {left_s / 60:.0f} min left", file=sys.stderr, flush=True)


def _rounded(number):
    return round(number, 6) if isinstance(number, float) else number
