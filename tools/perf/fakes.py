"""Stand-ins for benchmark programs: scripts that write what a benchmark writes, as wrong as a test wants it."""

import json
import os

CONTEXT = {
    "date": "2026-01-01T00:00:00+00:00", "num_cpus": 2, "commit": "c0ffee", "dirty": "false", "build_mode": "opt",
    "ndebug": "true", "compiler": "12.2.0", "device": "cpu", "world_size": "1", "model": "test",
    "calibration_version": "2",
}

_SCRIPT = """#!/usr/bin/python3 -ESs
import json, random, sys
spec = json.loads({spec!r})
out = [argument.split("=", 1)[1] for argument in sys.argv if argument.startswith("--json_out=")][0]
exec(spec["code"])
if spec["exit_code"]:
    sys.exit("the fake fails as told")
for row in spec["document"]["benchmarks"]:
    for field in ("real_time", "cpu_time"):
        row[field] *= random.lognormvariate(0, spec["noise"])
text = json.dumps(spec["document"])
with open(out, "w") as file:
    file.write(text[:len(text) // 2] if spec["is_truncated"] else text)
"""

_CALIBRATE = """#!/usr/bin/python3 -ESs
import json, random
print(json.dumps(dict(calibration_version=2, calibration_cpu_ns=[2e4 * random.lognormvariate(0, {noise})])))
"""


def row(name="BM_layer", time_ns=1e6, **fields):
    """One repetition as Google Benchmark writes it."""
    return {"name": name, "run_name": name, "run_type": "iteration", "repetitions": 1, "repetition_index": 0,
            "threads": 1, "iterations": 3, "real_time": time_ns, "cpu_time": time_ns, "time_unit": "ns",
            "calibration_cpu_ns": 2e4, **fields}


def repetitions(times_ns, name="BM_layer", **fields):
    """The rows of one benchmark, numbered as Google Benchmark does."""
    return [row(name, time_ns, repetitions=len(times_ns), repetition_index=index, **fields)
            for index, time_ns in enumerate(times_ns)]


def write_benchmark(folder, label, rows=None, context=None, noise=0.005, exit_code=0, is_truncated=False,
                    code=""):
    """Writes the program of `label` into a folder of binaries; `code` runs first and may change `spec`."""
    document = {"context": {**CONTEXT, **(context or {})}, "benchmarks": [row()] if rows is None else rows}
    spec = {"document": document, "noise": noise, "exit_code": exit_code, "is_truncated": is_truncated,
            "code": code}
    _write(os.path.join(folder, label.removeprefix("//").replace(":", "/")), _SCRIPT.format(spec=json.dumps(spec)))


def write_calibrate(folder, noise=0.005):
    _write(os.path.join(folder, "bench/harness/calibrate"), _CALIBRATE.format(noise=noise))


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
