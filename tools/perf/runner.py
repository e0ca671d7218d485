"""Starts one process of one benchmark and reads what it measured."""

import functools
import os
import subprocess
import tempfile

from tools.perf import machine, processes, result_file


# For every process that perf starts: OpenBLAS would start threads of its own that nothing here uses, which spin during
# the first tens of milliseconds of a process.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}

_NO_CEILINGS = "--ceilings=none"


class BenchmarkFailure(Exception):
    """The process failed or hung: the message says how."""


@functools.cache
def ceilings_arguments(program):
    """The flag with which `program`, a tuple of words, measures no ceilings: perf compares times only.

    Empty where the program does not have it: it measures none, or was built from an older revision."""
    try:
        run = processes.run([*program, "--help"], 60, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return (_NO_CEILINGS,) if "\n  --ceilings\n" in run.stdout else ()


class Runner:
    """Runs benchmark binaries pinned; each run is a fresh process that writes its result to a fresh file."""

    def __init__(self, timeout_s, num_steps=None):
        """num_steps: timed passes of every benchmark; None leaves it to the program."""
        self._timeout_s = timeout_s
        self._arguments = [] if num_steps is None else [f"--n_steps={num_steps}"]

    def run(self, program, cpus, arguments=()):
        """Starts `program`, a list of words, and returns the Result.

        Raises BenchmarkFailure, or UnreadableResult for a file that is not whole."""
        with tempfile.TemporaryDirectory(prefix="perf_run_") as folder:
            out = os.path.join(folder, "result.json")
            command = [
                *program, f"--json_out={out}", *ceilings_arguments(tuple(program)), *self._arguments, *arguments,
            ]
            self._start(machine.pinned(command, cpus))
            try:
                with open(out, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            except OSError as error:
                raise BenchmarkFailure("it exited with 0 but wrote no result") from error
        return result_file.parse_result(text, os.path.basename(program[-1]))

    def _start(self, command):
        try:
            run = processes.run(
                command, self._timeout_s, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkFailure(f"still running after {self._timeout_s:g} s") from error
        except OSError as error:
            raise BenchmarkFailure(f"it could not be started: {error}") from error
        if run.returncode != 0:
            last_line = (run.stderr.strip().splitlines() or ["no message"])[-1]
            raise BenchmarkFailure(f"exit code {run.returncode}: {last_line[:300]}")


def probe(runner, program):
    """Returns (Result, CPUs): one run of the program on the CPUs that it is to be measured on.

    A first run on all CPUs says how many it needs.  Where these are fewer, another run on them gives the Result: what
    programs make of the CPUs that they see is then the same in the probe and in all that is compared with it."""
    every_cpu = machine.allowed_cpus()
    result = runner.run(program, every_cpu)
    cpus = cpus_for(result.context)
    return (result if cpus == every_cpu else runner.run(program, cpus)), cpus


def cpus_for(context):
    """One CPU for what runs on one thread; all for several ranks, several threads, or a GPU's host side."""
    num_threads = result_file.largest_number(context, "num_threads")
    if context.get("device", "cpu") == "cpu" and not result_file.is_multi_rank(context) and num_threads == 1:
        return [machine.measuring_cpu()]
    return machine.allowed_cpus()
