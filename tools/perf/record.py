"""`perf record`: measures one side and adds it to the history; and how a history record is made."""

import datetime
import os
import statistics

import numpy as np

from tools.perf import contexts, history, machine, runner as runner_module, verdicts
from tools.perf.errors import InputError
from tools.perf.result_file import UnreadableResult, context_number
from tools.perf.samples import make_sample

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

    def make(self, label, benchmark, context, samples, num_repetitions, counters, verdict):
        """One history record of one benchmark: `samples` is a list of Sample, one per process."""
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
            "run": {**self._run, "processes": len(samples), "repetitions": num_repetitions, "noise_index": noise},
            "samples": [sample.as_json() for sample in samples],
            "counters": counters,
            "verdict": verdict,
        }

    def _built_from(self, context):
        """Commit and dirty: what was checked out, or, for a folder of binaries, what they say themselves."""
        if self._side.commit:
            commit = self._side.commit.removesuffix("-dirty")
            return {"commit": commit, "dirty": commit != self._side.commit}
        return {"commit": str(context.get("commit", "unknown")), "dirty": context.get("dirty", "unknown")}


class Recorder:
    """Measures every target of one side, processes of all targets in random order."""

    def __init__(self, runner, rng, clock):
        self._runner = runner
        self._rng = rng
        self._clock = clock
        self._start = clock()
        self._collected = {}  # (label, benchmark) -> [(Result, Sample)]
        self._failures = {}  # label -> (verdict, problem)

    def measure(self, side, num_processes):
        """Returns ({(label, benchmark): [(Result, Sample)]}, {label: (verdict, problem)})."""
        cpus = {label: self._probe(label, program) for label, program in sorted(side.programs.items())}
        for _ in range(num_processes):
            labels = [label for label in cpus if label not in self._failures]
            self._rng.shuffle(labels)
            for label in labels:
                self._measure_once(label, side.programs[label], cpus[label])
        kept = {key: value for key, value in self._collected.items() if key[0] not in self._failures}
        return kept, self._failures

    def _run(self, label, program, cpus):
        try:
            return self._runner.run(program, cpus)
        except UnreadableResult as failure:
            self._failures[label] = (verdicts.UNREADABLE, str(failure))
        except runner_module.BenchmarkFailure as failure:
            self._failures[label] = (verdicts.ERROR, str(failure))
        return None

    def _probe(self, label, program):
        result = self._run(label, program, machine.allowed_cpus())
        if result is None:
            return []
        if contexts.unfit_build(result.context):
            raise InputError(f"{label}: {contexts.unfit_build(result.context)}")
        return runner_module.cpus_for(result.context)

    def _measure_once(self, label, program, cpus):
        result = self._run(label, program, cpus)
        for name, measurement in result.measurements.items() if result else ():
            sample, problem = make_sample(measurement, result.context, self._clock() - self._start)
            if problem:
                self._failures[label] = (verdicts.ERROR, f"{name}: {problem}")
                return
            self._collected.setdefault((label, name), []).append((result, sample))


def records_of(collected, run):
    """History records of what a Recorder collected; verdict null, since nothing was compared."""
    records = []
    for (label, name), pairs in sorted(collected.items()):
        result = pairs[-1][0]
        measurement = result.measurements[name]
        samples = [sample for _, sample in pairs]
        records.append(run.make(
            label, name, result.context, samples, measurement.num_repetitions, measurement.counters, None))
    return records


def summary_lines(records):
    return [
        f"{record['target']} {record['benchmark']}: median "
        f"{statistics.median(sample['value'] for sample in record['samples']):.6g} over {len(record['samples'])} "
        f"processes, noise {record['run']['noise_index'] or 0:.2%}"
        for record in records
    ]
