"""The machine: its facts and class, and whether it is fit to measure on."""

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import time

import numpy as np

from tools.perf import processes
from tools.perf.errors import InputError
from tools.perf.repetitions import faster_half_mean

NUM_FITNESS_PROCESSES = 20
MAX_COEFFICIENT_OF_VARIATION = 0.15
MAX_STEAL_SHARE = 0.20


def facts():
    """CPU model, cores, hypervisor and GPU: what decides the machine class, and no more than a report shows."""
    # Names of fields follow the language.
    environment = {**os.environ, "LC_ALL": "C"}
    listing = json.loads(
        subprocess.run(["lscpu", "-J"], check=True, capture_output=True, text=True, env=environment).stdout)
    fields = {}

    def collect(rows):
        for row in rows:
            fields.setdefault(row["field"].rstrip(":"), row.get("data"))
            collect(row.get("children", []))

    collect(listing["lscpu"])
    return {
        "cpu_model": fields.get("Model name") or "unknown cpu",
        "num_cpus": len(os.sched_getaffinity(0)),
        "hypervisor": fields.get("Hypervisor vendor") or "none",
        "gpu": _gpu(),
        "kernel": os.uname().release,
    }


def machine_class(machine_facts):
    """A name for all machines whose numbers may be compared with this one's; fit for a folder."""
    parts = [
        machine_facts["cpu_model"],
        f"{machine_facts['num_cpus']}_cpus",
        "bare" if machine_facts["hypervisor"] == "none" else machine_facts["hypervisor"],
    ]
    if machine_facts["gpu"] != "none":
        parts.append(machine_facts["gpu"])
    return "-".join(re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in parts)


def _gpu():
    if not shutil.which("nvidia-smi"):
        return "none"
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    listing = subprocess.run(command, capture_output=True, text=True)
    names = listing.stdout.split("\n") if listing.returncode == 0 else []
    names = [name.strip() for name in names if name.strip()]
    return f"{len(names)} x {names[0]}" if names else "none"


def allowed_cpus():
    return sorted(os.sched_getaffinity(0))


def measuring_cpu():
    """The last one allowed: the first takes most interrupts."""
    return allowed_cpus()[-1]


def pinned(command, cpus):
    return ["taskset", "-c", ",".join(map(str, cpus)), *command]


class StealMeter:
    """The share of CPU time that the hypervisor gave to others since this was made."""

    def __init__(self, stat_path="/proc/stat"):
        self._path = stat_path
        self._start = self._read()

    def share(self):
        total, steal = (now - start for now, start in zip(self._read(), self._start))
        return steal / total if total > 0 else 0.0

    def _read(self):
        with open(self._path, encoding="ascii") as file:
            # user nice system idle iowait irq softirq steal; guest times are counted in user already.
            ticks = [int(word) for word in file.readline().split()[1:9]]
        return sum(ticks), ticks[7]


class OthersMeter:
    """How many CPUs all other processes kept busy since this was made, on average: those of this process and of the
    children that it has waited for are its own."""

    def __init__(self, stat_path="/proc/stat", wall_s=time.monotonic, own_s=lambda: sum(os.times()[:4])):
        self._path, self._wall_s, self._own_s = stat_path, wall_s, own_s
        self._start = self._read()

    def num_cpus(self):
        wall_s, busy_s, own_s = (now - start for now, start in zip(self._read(), self._start))
        return max(0.0, (busy_s - own_s) / wall_s) if wall_s > 0 else 0.0

    def _read(self):
        with open(self._path, encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq = (int(word) for word in file.readline().split()[1:8])
        busy_s = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
        return self._wall_s(), busy_s, self._own_s()


@dataclasses.dataclass(frozen=True)
class Fitness:
    num_processes: int
    coefficient_of_variation: float
    steal_share: float
    problem: str  # empty: fit

    @property
    def is_noisy(self):
        return bool(self.problem)


def judge_fitness(calibration_ns, steal_share):
    variation = float(np.std(calibration_ns, ddof=1) / np.mean(calibration_ns))
    problem = ""
    if variation > MAX_COEFFICIENT_OF_VARIATION:
        problem = f"calibration varies by {variation:.0%} between processes; at most {MAX_COEFFICIENT_OF_VARIATION:.0%}"
    elif steal_share > MAX_STEAL_SHARE:
        problem = f"the hypervisor takes {steal_share:.0%} of the CPU time; at most {MAX_STEAL_SHARE:.0%}"
    return Fitness(len(calibration_ns), variation, steal_share, problem)


def measure_fitness(calibrate):
    """Runs the calibration kernel alone in twenty processes."""
    meter = StealMeter()
    times = [_calibrate(calibrate) for _ in range(NUM_FITNESS_PROCESSES)]
    return judge_fitness(times, meter.share())


def _calibrate(program):
    """What the calibration kernel takes in one process."""
    command = pinned(program, [measuring_cpu()])
    try:
        run = processes.run(command, 60, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        run.check_returncode()
        time_ns = faster_half_mean(json.loads(run.stdout)["calibration_cpu_ns"])
        if not 0 < time_ns < math.inf:
            raise ValueError(f"it took {time_ns} ns")
        return time_ns
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"the calibration program {' '.join(program)} gave no time: {error}") from error
