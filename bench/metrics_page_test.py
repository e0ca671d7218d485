"""docs/metrics.md has the generated tables of metrics, names every key of a benchmark's JSON, and the keys that it
ascribes to Google Benchmark are there.

metrics_page_test.py PAGE METRICS_TABLES PROGRAM ARGUMENT...
"""

import json
import os
import re
import subprocess
import sys

# Google Benchmark's own bookkeeping of a row.
BOOKKEEPING = {
    "name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions", "repetition_index",
    "iterations", "time_unit",
}
# Said where the system has a frequency governor.
OF_SOME_MACHINES = {"cpu_scaling_enabled"}

with open(sys.argv[1]) as file:
    page = file.read()
tables = subprocess.run([sys.argv[2]], check=True, capture_output=True, text=True).stdout
for table in tables.strip().split("\n\n"):
    lines = [line for line in table.splitlines() if line not in page.splitlines()]
    assert table in page, f"not in docs/metrics.md, copy it from `bazel run //bench/harness:metrics_tables`: {lines}"

json_out = os.path.join(os.environ["TEST_TMPDIR"], "result.json")
subprocess.run([*sys.argv[3:], "--json_out=" + json_out], check=True)
with open(json_out) as file:
    result = json.load(file)
context, row = result["context"], result["benchmarks"][0]


def keys_of(value):
    """The keys of a value and of all that it contains."""
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


details = keys_of(list(result["details"].values()))
named = set(re.findall(r"`(\w+)`", page)) | {f"part_{part}_s" for part in re.findall(r"^\| `(\w+)` \|", page, re.M)}
unnamed = (set(context) | set(row) | details) - named - BOOKKEEPING - OF_SOME_MACHINES
assert not unnamed, f"not in docs/metrics.md: {sorted(unnamed)}"

added = re.search(r"Google\s+Benchmark\s+adds\s(.*?):", page, re.S)[1]
absent = set(re.findall(r"`(\w+)`", added)) - set(context)
assert not absent, f"in docs/metrics.md, but not in the JSON: {sorted(absent)}"
