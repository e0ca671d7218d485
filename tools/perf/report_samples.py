"""A finished run made up for the tests of the reports, with a label that tries to be markup, code and table."""

import dataclasses
import random

from tools.perf import verdicts
from tools.perf.comparison import compare
from tools.perf.judge import Rules

HOSTILE = "//bench:x</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">|a&b"


def _row(rng, target, shift, verdict, tail_shift=None):
    tail_shift = shift if tail_shift is None else tail_shift
    samples = {
        side: [
            {"value": value, "tail_value": value * tail_factor, "time_ns": 2e7 * value,
             "tail_ns": 2e7 * value * tail_factor, "calibration_ns": 2e7 * rng.gauss(1, 0.01), "seconds": 2.0 * index,
             "sm_clock_mhz": 0.0}
            for index, value in enumerate(rng.gauss(factor, 0.008) for _ in range(30))
        ]
        for side, factor, tail_factor in (("base", 1.0, 1.2), ("cand", 1.0 + shift, 1.2 * (1 + tail_shift - shift)))
    }
    compared, compared_tail = (
        compare(*([sample[key] for sample in samples[side]] for side in ("base", "cand")))
        for key in ("value", "tail_value"))
    tail_verdict = verdicts.SLOWER if tail_shift > 0.1 else verdicts.SAME
    note = "about 25 more pairs would decide" if verdict == verdicts.UNSURE else ""
    return {
        "target": target, "benchmark": "BM/model:test", "verdict": verdict, "note": note, "phases": ["confirm"],
        "num_pairs": 42, "samples": {"confirm": samples}, "counters": {"base": {}, "cand": {}}, "context": {},
        "typical_verdict": verdicts.SAME if tail_shift > 0.1 else verdict,
        "tail": {"verdict": tail_verdict, "note": "", "phases": ["confirm"], **dataclasses.asdict(compared_tail)},
        **dataclasses.asdict(compared),
    }


def document():
    rng = random.Random(3)
    rows = [
        {"target": "//bench:gone", "benchmark": "", "verdict": verdicts.MISSING, "note": "cand has no such target",
         "phases": []},
        _row(rng, HOSTILE, 0.05, verdicts.SLOWER),
        _row(rng, "//bench:tail", 0.0, verdicts.SLOWER, 0.30),
        _row(rng, "//bench:wide", 0.012, verdicts.UNSURE),
        _row(rng, "//bench:better", -0.08, verdicts.FASTER),
        _row(rng, "//bench:same", 0.0, verdicts.SAME),
    ]
    return {
        "schema": 1, "rows": rows, "rules": dataclasses.asdict(Rules()), "order_seed": 3, "wall_s": 61.0,
        "sides": {"base": {"given": "main<b>", "commit": "c0ffee"}, "cand": {"given": "HEAD", "commit": "f00d"}},
        "machine": {"cpu_model": "Xeon & <i>co</i>", "num_cpus": 2}, "machine_class": "xeon-2_cpus",
        "fitness": {"num_processes": 20, "coefficient_of_variation": 0.012, "steal_share": 0.001, "problem": ""},
        "exit_code": 4, "selftest": "0 of 300 A/A trials",
    }


def histories():
    """Fifty records of one benchmark that became 6 % slower at the thirtieth."""
    rng = random.Random(4)
    records = [
        {"commit": f"{index:040x}", "run": {"time": f"2026-01-{index // 2 + 1:02}T00:00:00+00:00"}, "verdict": None,
         "samples": [{"value": value, "time_ns": 2e7 * value, "calibration_ns": 2e7} for value in
                     (rng.gauss(1.06 if index >= 30 else 1.0, 0.006) for _ in range(12))]}
        for index in range(50)
    ]
    return {(HOSTILE, "BM"): records}
