"""What the recorded trials of `perf selftest` add up to: tables in markdown, one for each method and set of rules."""

import json
import os
import statistics

from scipy import stats

from tools.perf import plain_compare, verdicts
from tools.perf.judge import Rules
from tools.perf.selftest import METHOD, RESULTS, read

_HEADER = ["trials", "condition", "SLOWER", "95 % interval", "all verdicts", "pairs a trial", "s a trial"]


def markdown(trials):
    """Trials that were made in another way, or on another machine, are never summed up together."""
    groups = {}
    for trial in trials:
        key = json.dumps([trial["method"], trial["rules"], trial["machine_class"]], sort_keys=True)
        groups.setdefault(key, []).append(trial)
    lines = []
    for group in groups.values():
        first = group[0]
        made = ", ".join(f"{key} {value}" for key, value in {**first["method"], **first["rules"]}.items())
        lines += [f"{first['machine_class']}, {made}:", "", *_table(group), ""]
        lines += [line + "\n" for line in plain_compare.alarm_lines(group)]
    return "\n".join(lines).rstrip("\n") + "\n"


def last_measured(checkout):
    """What the summary line of every report says about this tool's own false alarms, by its present rules."""
    path = os.path.join(checkout, RESULTS)
    trials = [
        trial for trial in (read(path) if os.path.exists(path) else [])
        if trial["pct"] == 0 and trial["method"] == METHOD and trial["rules"] == vars(Rules())
    ]
    if not trials:
        return "not measured (perf selftest aa)"
    alarms = sum(trial["verdict"] == verdicts.SLOWER for trial in trials)
    return f"{alarms} of {len(trials)} A/A trials, last on {max(trial['time'] for trial in trials)[:10]}"


def _table(trials):
    kinds = {}
    for trial in trials:
        kinds.setdefault((trial["pct"], trial["condition"]), []).append(trial)
    rows = [_row(*kind, kinds[kind]) for kind in sorted(kinds)]
    return ["| " + " | ".join(cells) + " |" for cells in [_HEADER, ["---"] * len(_HEADER), *rows]]


def _row(pct, condition, trials):
    slower = sum(trial["verdict"] == verdicts.SLOWER for trial in trials)
    rate = stats.binomtest(slower, len(trials)).proportion_ci(0.95, "exact")
    counts = {verdict: sum(trial["verdict"] == verdict for trial in trials) for verdict in verdicts.ORDER}
    return [
        "identical binaries" if pct == 0 else f"cand does {pct:g} % more work", condition, f"{slower} of {len(trials)}",
        f"{rate.low:.1%} to {rate.high:.1%}",
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count),
        f"{statistics.mean(trial['pairs'] for trial in trials):.1f}",
        f"{statistics.mean(trial['seconds'] for trial in trials):.1f}",
    ]
