"""What the recorded trials of `perf selftest` add up to: tables in markdown, one for each method and set of rules."""

import json
import os
import statistics

from scipy import stats

from tools.perf import plain_compare, verdicts
from tools.perf.judge import Rules
from tools.perf.selftest import METHOD, RESULTS, read

_HEADER = [
    "trials", "condition", "typical SLOWER", "95 % interval", "typical verdicts", "tail SLOWER", "95 % interval",
    "tail verdicts", "pairs a trial", "s a trial",
]


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
    tail_alarms = sum(_tail_verdict(trial) == verdicts.SLOWER for trial in trials)
    last = max(trial["time"] for trial in trials)[:10]
    return f"{alarms} of {len(trials)} A/A trials, of the tail {tail_alarms}, last on {last}"


def _table(trials):
    kinds = {}
    for trial in trials:
        kinds.setdefault((trial["pct"], trial["share"], trial["condition"]), []).append(trial)
    rows = [_row(*kind, kinds[kind]) for kind in sorted(kinds)]
    return ["| " + " | ".join(cells) + " |" for cells in [_HEADER, ["---"] * len(_HEADER), *rows]]


def _row(pct, share, condition, trials):
    where = "" if share == 1 else f" in {share:.0%} of its steps"
    return [
        "identical binaries" if pct == 0 else f"cand does {pct:g} % more work{where}", condition,
        *_verdict_cells([trial["verdict"] for trial in trials]), *_verdict_cells([_tail_verdict(t) for t in trials]),
        f"{statistics.mean(trial['pairs'] for trial in trials):.1f}",
        f"{statistics.mean(trial['seconds'] for trial in trials):.1f}",
    ]


def _verdict_cells(found):
    """How many are SLOWER, the rate's 95 % interval, and the count of every verdict."""
    if None in found:
        return ["-", "-", "-"]
    slower = found.count(verdicts.SLOWER)
    rate = stats.binomtest(slower, len(found)).proportion_ci(0.95, "exact")
    counts = {verdict: found.count(verdict) for verdict in verdicts.ORDER}
    return [
        f"{slower} of {len(found)}", f"{rate.low:.1%} to {rate.high:.1%}",
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count),
    ]


def _tail_verdict(trial):
    return trial["tail"]["verdict"] if trial["tail"] else None
