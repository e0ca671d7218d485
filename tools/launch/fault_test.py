#!/usr/bin/python3
"""Breaks one rank of a run in every way, and checks what a person then sees.

fault_test.py LAUNCH PROGRAM NUM_RANKS: PROGRAM is parallel/comm/mpi:mpi_program.
"""

import os
import re
import subprocess
import sys
import time

import processes

LAUNCH, PROGRAM, NUM_RANKS = sys.argv[1], sys.argv[2], int(sys.argv[3])
GONE_SECONDS = 5
# The program's own deadline.
DEADLINE_SECONDS = 1.5

POSITION = r"at step 3, op 1 Forward\(stage=0\)"

# How a rank breaks: what the first line says of rank {r}, and the exit code.
FAULTS = {
    "kill": (r"rank {r} was killed by signal 9 \(Killed\) " + POSITION, 137),
    "segv": (r"rank {r} was killed by signal 11 \(Segmentation fault\) " + POSITION, 139),
    "abort": (r"rank {r} was killed by signal 6 \(Aborted\) " + POSITION, 134),
    "stop": (r"rank {r} does not respond: rank \d+ waited .* in \w+ of 4.0 KiB .* rank \d+ at step 3, op", 124),
    "stop_in_wait": (r"rank {r} does not respond: rank \d+ waited .* in \w+ of 4.0 KiB .* rank \d+ at step 3, op", 124),
    "sleep": (r"rank {r} does not respond: rank \d+ waited .* in \w+ of 4.0 KiB .* rank \d+ at step 3, op", 124),
    "device_stop": (r"rank {r} does not respond: rank \d+ waited .* in Drain at step 3, op 1", 124),
    "report": (r"rank {r}: the abort hangs \(" + POSITION, 1),
    "error": (r"rank {r}: the kernel broke \(" + POSITION, 1),
    "exit0": (r"rank {r} left before step 3 was done, with exit code 0", 1),
    "return": (r"rank {r} left before step 3: rank \d+ waits for it in", 1),
    "never_starts": (r"MPI did not start within 1.5 s; .* joined: [\d, ]*; missing: {r}$", 124),
    "fingerprint": (r"rank {r} has another configuration: n_slices is '4', but '8' on rank 0", 1),
}

DISAGREEMENTS = [
    "SendOfAnotherCount",
    "SendOfMore",
    "SendOfAnotherType",
    "SendOfAnotherTag",
    "AllReduceOfAnotherCount",
    "AllReduceOfAnotherType",
    "AnotherReduction",
    "AnotherRoot",
    "AnotherCollective",
    "AllGatherOfAnotherCount",
]

failures = []


def check(condition, what, result):
    if not condition:
        failures.append(what)
        print(f"FAILED {what}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}\n")


def run(*arguments):
    begin = time.monotonic()
    result = subprocess.run(
        [LAUNCH, f"--ranks_per_host={NUM_RANKS}", "--", PROGRAM, *arguments], capture_output=True, text=True, timeout=60
    )
    result.elapsed = time.monotonic() - begin
    result.first_line = result.stderr.split("\n", 1)[0]
    return result


def check_fault(kind, rank):
    pattern, exit_code = FAULTS[kind]
    name = f"{kind} of rank {rank} of {NUM_RANKS}"
    result = run("fault", kind, str(rank))
    check(re.search(pattern.replace("{r}", str(rank)), result.first_line), f"{name}: first line", result)
    check(result.returncode == exit_code, f"{name}: exit code {exit_code}", result)
    check(result.elapsed < GONE_SECONDS + DEADLINE_SECONDS, f"{name}: end after {result.elapsed:.1f} s", result)
    pids = [int(pid) for pid in re.findall(r"^pid (\d+)$", result.stdout, re.M)]
    check(processes.wait_gone(pids, 1), f"{name}: all processes gone", result)
    print(f"{name}: {result.elapsed:.1f} s")


def check_disagreement(case):
    result = run("disagree", case)
    expected = re.findall("^expect (.*)$", result.stdout, re.M)
    check(len(expected) >= 2, f"{case}: expectations", result)
    for text in expected:
        check(text in result.first_line, f"{case}: '{text}' in the first line", result)
    check(result.returncode == 1, f"{case}: exit code", result)
    check(result.elapsed < GONE_SECONDS, f"{case}: end after {result.elapsed:.1f} s", result)


def main():
    for rank in range(NUM_RANKS):
        check_fault("kill", rank)
    for index, kind in enumerate(FAULTS):
        # Rank 0 is what a fingerprint is compared with, so it is never the one that differs.
        rank = NUM_RANKS - 1 if kind == "fingerprint" else index % NUM_RANKS
        if kind != "kill":
            check_fault(kind, rank)
    for case in DISAGREEMENTS:
        check_disagreement(case)
    leftovers = os.listdir(os.environ["TMPDIR"])
    if leftovers:
        failures.append(f"left behind: {leftovers}")
    print("\n".join(failures) or "all faults were named")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
