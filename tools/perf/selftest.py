"""`perf selftest`: measures the tool's own false alarms (aa) and power (inject) on a benchmark of known cost.

A trial is one whole `perf ab` decision about one target.  Both sides run the same binary; in `inject` cand really does
--pct percent more work.  Trials are added to a file as they end, so that many short runs make one long one.
"""

import contextlib
import json
import os
import statistics

from scipy import stats

from tools.perf import measure, noise_generator, verdicts
from tools.perf.ab import Comparer
from tools.perf.errors import InputError
from tools.perf.runner import Runner

SCHEMA = 1
RESULTS = "docs/results/perf_selftest.jsonl"
_LABEL = "//tools/perf/known_cost:known_cost_benchmark"
_BENCHMARK = "known_cost/iterations:3/repeats:5"


def run_trial(program, pct, rules, seed, cpus):
    """Returns the trial as it is recorded."""
    work = {"base": 1000, "cand": round(1000 + 10 * pct)}
    arguments = {side: (f"--work_permille={permille}",) for side, permille in work.items()}
    target = measure.Target(_LABEL, {side: program for side in measure.SIDES}, cpus, [_BENCHMARK], {}, arguments)
    comparer = Comparer(rules, Runner(timeout_s=60), seed, budget_s=600)
    comparer.measure([target])
    row, = comparer.rows
    return {
        "seed": seed, "pct": pct, "verdict": row["verdict"], "note": row["note"], "pairs": row["num_pairs"],
        "shift": row.get("shift"), "p_slower": row.get("p_slower"), "phases": row["phases"],
        # [time_ns, calibration_ns] of every process, in order.
        "samples": {
            phase: {side: [[round(s["time_ns"]), round(s["calibration_ns"])] for s in samples]
                    for side, samples in by_side.items()}
            for phase, by_side in row["samples"].items()
        },
    }


def run_trials(count, program, pct, rules, first_seed, cpus, is_beside_noise, conditions, out, progress):
    """Runs `count` trials, each added to the file `out` as one line that names its conditions."""
    noise = noise_generator.running(len(cpus) + 1, first_seed) if is_beside_noise else contextlib.nullcontext()
    trials = []
    with noise:
        for index in range(count):
            trial = run_trial(program, pct, rules, first_seed + index, cpus[-1:])
            trial.update(schema=SCHEMA, noise=is_beside_noise, rules=vars(rules), **conditions)
            trials.append(trial)
            if out:
                with open(out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(trial, sort_keys=True) + "\n")
            progress(index + 1, count, trial)
    return trials


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            trials = [json.loads(line) for line in file]
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"selftest results {path}: {error}") from error
    unknown = {trial.get("schema") for trial in trials} - {SCHEMA}
    if unknown:
        raise InputError(f"selftest results {path}: unknown schema {unknown.pop()!r}; this version reads {SCHEMA}")
    return trials


def summary_lines(trials):
    """One line per kind of trial: what was found how often, with the exact 95 % interval of that rate."""
    kinds = {}
    for trial in trials:
        kinds.setdefault((trial["pct"], trial["noise"]), []).append(trial)
    return [_summary_line(pct, noise, group) for (pct, noise), group in sorted(kinds.items())]


def _summary_line(pct, noise, group):
    slower = sum(trial["verdict"] == verdicts.SLOWER for trial in group)
    rate = stats.binomtest(slower, len(group)).proportion_ci(0.95, "exact")
    counts = {verdict: sum(trial["verdict"] == verdict for trial in group) for verdict in verdicts.ORDER}
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    pairs = statistics.mean(trial["pairs"] for trial in group)
    return (
        f"{'identical sides' if pct == 0 else f'cand {pct:+g} %'}, {'beside noise' if noise else 'quiet'}: "
        f"SLOWER {slower} of {len(group)} (95 % interval {rate.low:.1%} .. {rate.high:.1%}); {counted}; "
        f"{pairs:.1f} pairs a trial")


def last_measured(checkout):
    """What the summary line of every report says about this tool's own false alarms."""
    path = os.path.join(checkout, RESULTS)
    trials = [trial for trial in read(path) if trial["pct"] == 0] if os.path.exists(path) else []
    if not trials:
        return "not measured (perf selftest aa)"
    alarms = sum(trial["verdict"] == verdicts.SLOWER for trial in trials)
    return f"{alarms} of {len(trials)} A/A trials, last on {max(trial['time'] for trial in trials)[:10]}"
