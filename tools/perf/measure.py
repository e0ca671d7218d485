"""Interleaved measurement: pairs of processes, base and cand, of every target in random order."""

import re
import time

from tools.perf import contexts, judge, verdicts
from tools.perf.result_file import UnreadableResult
from tools.perf.runner import BenchmarkFailure
from tools.perf.samples import make_sample

SIDES = ("base", "cand")

# What bench/harness takes as a filter.
_MAX_FILTER_LENGTH = 1000


class Target:
    """A binary that both sides have, and all that was measured of it.

    samples[phase][benchmark][side] is a list of Sample; problem is why it was given up, with the verdict that
    follows, or empty.
    """

    def __init__(self, label, programs, cpus, benchmarks, contexts_by_side, arguments=None):
        self.label = label
        self.contexts = contexts_by_side  # of the probe; every later run must agree with it
        self.programs = programs  # by side, the words that start it
        self.arguments = arguments or {side: () for side in SIDES}
        self.cpus = cpus
        self.benchmarks = list(benchmarks)
        self.wanted = self.benchmarks  # those of them that the next pairs measure
        self.samples = {}
        self.counters = {side: {} for side in SIDES}
        self.problem = ""
        self.problem_verdict = ""
        self.pair_seconds = 0.0  # of the last pair

    def fail(self, verdict, problem):
        self.problem_verdict, self.problem = verdict, problem

    def values(self, phases, benchmark, side, quantity=judge.TYPICAL):
        kept = [self.samples[phase][benchmark][side] for phase in phases if benchmark in self.samples.get(phase, {})]
        return [sample.of(quantity) for samples in kept for sample in samples]

    def num_pairs(self, benchmark):
        return sum(len(by_name[benchmark]["cand"]) for by_name in self.samples.values() if benchmark in by_name)


def _filter(target):
    """The argument that has the program run nothing but the wanted benchmarks; none where that is all of them, where
    their names are more than a program takes, or where its context would then describe another set of jobs."""
    is_one_job = all(map(contexts.is_one_job, target.contexts.values()))
    if target.wanted == target.benchmarks or not is_one_job:
        return []
    names = (re.sub(r"[][.*+?^$(){}|\\]", r"\\\g<0>", name) for name in target.wanted)
    pattern = f"^({'|'.join(names)})$"
    return [f"--filter={pattern}"] if len(pattern) <= _MAX_FILTER_LENGTH else []


class Interleaver:
    """Measures pairs.  Each round runs each target that still needs pairs once per side, targets and sides shuffled,
    so that whatever the machine does meets both sides alike."""

    def __init__(self, runner, rng, progress, clock=time.monotonic):
        self._runner = runner
        self._rng = rng
        self._progress = progress
        self._clock = clock
        self._start = clock()

    def elapsed_s(self):
        return self._clock() - self._start

    def measure(self, phase, pairs_by_target, deadline_s):
        """Adds pairs to each target's samples; returns False if `deadline_s` (since the start) cut it short.

        A round is never cut, so that every target has as many samples of base as of cand.
        """
        num_rounds = max(pairs_by_target.values(), default=0)
        for round_index in range(num_rounds):
            if self.elapsed_s() >= deadline_s:
                return False
            targets = [t for t, pairs in pairs_by_target.items() if round_index < pairs and not t.problem]
            self._rng.shuffle(targets)
            for target in targets:
                self._measure_pair(phase, target)
            self._progress(phase, round_index + 1, num_rounds, len(targets))
        return True

    def _measure_pair(self, phase, target):
        started = self._clock()
        sides = list(SIDES)
        self._rng.shuffle(sides)
        measured = {side: self._measure_side(target, side) for side in sides}
        if target.problem:
            return
        by_name = target.samples.setdefault(phase, {})
        for name in target.wanted:
            by_side = by_name.setdefault(name, {side: [] for side in SIDES})
            for side in SIDES:
                by_side[side].append(measured[side][name])
        target.pair_seconds = self._clock() - started

    def _measure_side(self, target, side):
        """The samples by benchmark name, or None after a failure, which ends the target."""
        if target.problem:
            return None
        try:
            result = self._runner.run(target.programs[side], target.cpus, [*target.arguments[side], *_filter(target)])
        except BenchmarkFailure as failure:
            target.fail(verdicts.ERROR, f"{side}: {failure}")
            return None
        except UnreadableResult as failure:
            target.fail(verdicts.UNREADABLE, f"{side}: {failure}")
            return None
        changes = contexts.changes_of_job(target.contexts.get(side, {}), result.context)
        if changes:
            target.fail(verdicts.ERROR, f"{side}: this run is not what was probed: {'; '.join(changes)}")
            return None
        samples = {}
        for name in target.wanted:
            if name not in result.measurements:
                target.fail(verdicts.ERROR, f"{side}: {name} was there before and is not in this run")
                return None
            measurement = result.measurements[name]
            samples[name], problem = make_sample(measurement, result.context, self.elapsed_s())
            if problem:
                target.fail(verdicts.ERROR, f"{side}: {name}: {problem}")
                return None
            target.counters[side][name] = measurement.counters
        return samples
