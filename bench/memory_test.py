"""The memory that a benchmark says it will need is what it then has, within 15 %.

memory_test.py COMMAND ARGUMENT...
"""

import json
import os
import subprocess
import sys

json_out = os.path.join(os.environ["TEST_TMPDIR"], "result.json")
subprocess.run([*sys.argv[1:], "--json_out=" + json_out], check=True)
with open(json_out) as file:
    row = json.load(file)["benchmarks"][-1]
ratio = row["peak_resident_bytes"] / row["predicted_resident_bytes"]
print(f"peak {row['peak_resident_bytes'] / 2**20:.1f} MiB is {ratio:.3f} of what was predicted")
assert row["allocated_bytes"] == row["predicted_bytes"], row
assert 0.85 <= ratio <= 1.15, ratio
