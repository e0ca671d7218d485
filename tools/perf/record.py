"""`perf record`: measures one side and adds it to the history; and how a history record is made.

A record is kept for comparisons months later, so that its processes must support its value, their median: support.py.
"""

import dataclasses
import datetime
import os
import statistics

import numpy as np

from tools.perf import contexts, history, machine, row_text, runner as runner_module, support, verdicts
from tools.perf.errors import InputError
from tools.perf.result_file import Result, UnreadableResult, context_number
from tools.perf.samples import Sample, make_sample

_BUILT_KEYS = ("parameter_count", "layers_per_stage", "flops_per_step")
_BUILD_KEYS = ("build_mode", "ndebug", "compiler", "compiler_flags")


class RecordedRun:
    """The conditions of one run, the same for every record that it makes."""

    def __init__(self, side, machine_facts, order_seed, steal_share):
        self._side = side
        self._machine = machine_facts
        self._run = {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "order_seed": order_seed,
            "load": os.getloadavg()[0],
            "steal": steal_share,
        }

    def make(self, label, benchmark, context, samples, num_repetitions, counters, supported):
        """One history record of one benchmark: `samples` is a list of Sample, one per process, and `supported` the
        Support of their median."""
        calibration = [sample.calibration_ns for sample in samples if sample.calibration_ns]
        noise = float(np.std(calibration, ddof=1) / np.mean(calibration)) if len(calibration) > 1 else None
        return {
            "schema": history.SCHEMA,
            "target": label,
            "benchmark": benchmark,
            "config": contexts.config(context),
            "config_hash": contexts.config_hash(context),
            "built": {key: context_number(context, key) for key in _BUILT_KEYS if key in context},
            **self._built_from(context),
            "build": {key: context.get(key) for key in _BUILD_KEYS},
            "machine": self._machine,
            "machine_class": machine.machine_class(self._machine),
            "run": {**self._run, "processes": len(samples), "repetitions": num_repetitions, "noise_index": noise,
                    **supported.as_json()},
            "samples": [sample.as_json() for sample in samples],
            "counters": counters,
            "verdict": verdicts.UNSURE if supported.problem else None,
        }

    def _built_from(self, context):
        """Commit and dirty: what was checked out, or, for a folder of binaries, what they say themselves."""
        if self._side.commit:
            commit = self._side.commit.removesuffix("-dirty")
            return {"commit": commit, "dirty": commit != self._side.commit}
        return {"commit": str(context.get("commit", "unknown")), "dirty": context.get("dirty", "unknown")}


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of one benchmark."""

    result: Result
    sample: Sample
    other_cpus: float  # how many CPUs all other processes kept busy meanwhile


class Recorder:
    """Measures every target of one side, processes of all targets in random order."""

    def __init__(self, runner, rng, clock):
        self._runner = runner
        self._rng = rng
        self._clock = clock
        self._start = clock()
        self._collected = {}  # (label, benchmark) -> [Process]
        self._failures = {}  # label -> (verdict, problem)

    def measure(self, side, num_processes):
        """Returns ({(label, benchmark): [Process]}, {label: (verdict, problem)})."""
        cpus = {label: self._probe(label, program) for label, program in sorted(side.programs.items())}
        for _ in range(num_processes):
            labels = [label for label in cpus if label not in self._failures]
            self._rng.shuffle(labels)
            for label in labels:
                self._measure_once(label, side.programs[label], cpus[label])
        kept = {key: value for key, value in self._collected.items() if key[0] not in self._failures}
        return kept, self._failures

    def _run(self, label, run):
        try:
            return run()
        except UnreadableResult as failure:
            self._failures[label] = (verdicts.UNREADABLE, str(failure))
        except runner_module.BenchmarkFailure as failure:
            self._failures[label] = (verdicts.ERROR, str(failure))
        return None

    def _probe(self, label, program):
        probed = self._run(label, lambda: runner_module.probe(self._runner, program))
        if probed is None:
            return []
        result, cpus = probed
        if contexts.unfit_build(result.context):
            raise InputError(f"{label}: {contexts.unfit_build(result.context)}")
        return cpus

    def _measure_once(self, label, program, cpus):
        others = machine.OthersMeter()
        result = self._run(label, lambda: self._runner.run(program, cpus))
        other_cpus = others.num_cpus()
        for name, measurement in result.measurements.items() if result else ():
            sample, problem = make_sample(measurement, result.context, self._clock() - self._start)
            if problem:
                self._failures[label] = (verdicts.ERROR, f"{name}: {problem}")
                return
            self._collected.setdefault((label, name), []).append(Process(result, sample, other_cpus))


def records_of(collected, run):
    """History records of what a Recorder collected; the verdict is UNSURE where its processes do not support the value,
    else null, since nothing was compared."""
    records = []
    for (label, name), processes in sorted(collected.items()):
        last = processes[-1].result
        samples = [process.sample for process in processes]
        supported = support.of(
            [sample.value for sample in samples], [process.other_cpus for process in processes],
            support.num_busy_cpus(last.context, last.measurements[name].is_manual))
        measurement = last.measurements[name]
        records.append(run.make(
            label, name, last.context, samples, measurement.num_repetitions, measurement.counters, supported))
    return records


def problem_lines(records):
    """Why records are not supported, one sentence each."""
    return [
        f"{record['target']} {record['benchmark']}: {record['run']['problem']}"
        for record in records if record["run"]["problem"]
    ]


def summary_lines(records, previous):
    """One line a record; `previous` has the record before it, by target and benchmark, where there is one."""
    return [_summary_line(record, previous.get((record["target"], record["benchmark"]))) for record in records]


def _summary_line(record, before):
    run = record["run"]
    line = (f"{record['target']} {record['benchmark']}: median {row_text.value(record['samples'])} over "
            f"{len(record['samples'])} processes, 95 % interval {row_text.percent(run['median_low'])} .. "
            f"{row_text.percent(run['median_high'])}")
    if run["noise_index"] is not None:
        line += f", calibration varies by {run['noise_index']:.2%}"
    if before:
        line += (f"; {row_text.percent(_median(record) / _median(before) - 1)} against the record of "
                 f"{before['run']['time'][:16]} ({before['commit'][:12]})")
    return line


def _median(record):
    return statistics.median(sample["value"] for sample in record["samples"])
