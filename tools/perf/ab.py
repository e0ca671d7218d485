"""`perf ab`: measures base against cand and judges every target.

    probe     each target once per side, not counted: contexts are checked, failures found, caches warmed
    screen    every target, num_screen_pairs pairs
    confirm   more pairs for the benchmarks that the screen did not show to be SAME, and for those alone: suspects
              first, while the budget lasts

A suspect is judged on num_confirm_pairs fresh pairs alone, because the screen chose it for being slow.  The undecided
were not chosen so: they get as many pairs as would decide, judged together with those of the screen.

Each benchmark has two quantities (repetitions.py), each judged in this way with a verdict of its own: the typical time
of a process's repetitions and their tail.  The verdict of the benchmark is the worse one.
"""

import dataclasses
import random
import sys

from tools.perf import contexts, judge, machine, row_text, runner as runner_module, verdicts
from tools.perf.comparison import compare
from tools.perf.errors import InputError
from tools.perf.measure import SIDES, Interleaver, Target
from tools.perf.result_file import UnreadableResult

SCHEMA = 1

_SCREENED, _FRESH = ("screen",), ("confirm",)

# What is confirmed first, while the budget lasts.
_SUSPECTS, _UNDECIDED, _UNDECIDED_TAIL = range(3)

# The plan to confirm rests on the time of one pair; where that was too short, this ends it.
_MAX_BUDGET_OVERRUN = 1.25


class Comparer:
    """One run of `perf ab` over two prepared sides."""

    def __init__(self, rules, runner, seed, budget_s, allowed_keys=(), progress=lambda *_: None):
        self._rules = rules
        self._runner = runner
        self._budget_s = budget_s
        self._allowed_keys = allowed_keys
        self._rng = random.Random(seed)
        self._interleaver = Interleaver(runner, self._rng, progress)
        self.rows = []  # one per benchmark, as in the report

    def run(self, base, cand):
        """Measures and judges; returns the rows of the report, worst first.

        Raises InputError, before anything is measured, when the filter selects nothing or the sides were not built
        alike."""
        labels = sorted(base.programs.keys() | cand.programs.keys())
        if not labels:
            raise InputError("no target on either side matches; without --targets, those tagged perf_target are taken")
        targets = self._probe(base, cand, labels)
        self.measure(targets)
        self.rows.sort(key=lambda row: (verdicts.ORDER.index(row["verdict"]), -abs(row.get("shift", 0)), row["target"]))
        return self.rows

    def measure(self, targets):
        """Screens and confirms targets that were probed (or need no probe)."""
        self._interleaver.measure(
            "screen", {target: self._rules.num_screen_pairs for target in targets}, self._budget_s)
        self._confirm([target for target in targets if not target.problem])
        for target in targets:
            if target.problem:
                self._add_row(target.label, "", target.problem_verdict, target.problem, target=target)

    def _add_row(self, label, benchmark, verdict, note, target=None, compared=None, phases=()):
        row = {"target": label, "benchmark": benchmark, "verdict": verdict, "note": note, "phases": list(phases)}
        if compared:
            row.update(dataclasses.asdict(compared))
        if target:
            row["num_pairs"] = target.num_pairs(benchmark) if benchmark else 0
            row["samples"] = {
                name: {side: [sample.as_json() for sample in by_name[benchmark][side]] for side in SIDES}
                for name, by_name in target.samples.items() if benchmark in by_name
            }
            row["counters"] = {side: target.counters[side].get(benchmark, {}) for side in SIDES}
            row["context"] = target.contexts.get("cand", {})
        self.rows.append(row)

    # Probing.

    def _probe(self, base, cand, labels):
        targets, problems = [], []
        for label in labels:
            if label not in cand.programs:
                self._add_row(label, "", verdicts.MISSING, "cand has no such target")
            elif label not in base.programs:
                self._add_row(label, "", verdicts.NEW, "base has no such target")
            else:
                programs = {"base": base.programs[label], "cand": cand.programs[label]}
                probed = self._probe_target(label, programs)
                if probed:
                    targets += self._check_pair(label, programs, *probed, problems)
        if problems:
            raise InputError("the two sides cannot be compared:\n  " + "\n  ".join(problems))
        return targets

    def _probe_target(self, label, programs):
        """The results of both sides and the CPUs to measure on, or None after adding the row of a failure."""
        results, cpus = {}, []
        for side in SIDES:
            try:
                results[side], cpus_of_side = runner_module.probe(self._runner, programs[side])
                cpus = max(cpus, cpus_of_side, key=len)
            except UnreadableResult as failure:
                self._add_row(label, "", verdicts.UNREADABLE, f"{side}: {failure}")
                return None
            except runner_module.BenchmarkFailure as failure:
                self._add_row(label, "", verdicts.ERROR, f"{side}: {failure}")
                return None
        return results, cpus

    def _check_pair(self, label, programs, results, cpus, problems):
        """A list of the one Target to measure, or of none; adds to `problems` what forbids the comparison."""
        context = {side: results[side].context for side in SIDES}
        for side in SIDES:
            if contexts.unfit_build(context[side]):
                problems.append(f"{label}: {side}: {contexts.unfit_build(context[side])}")
        problems += [
            f"{label}: {text}" for text in contexts.mismatches(context["base"], context["cand"], self._allowed_keys)
        ]
        names = {side: results[side].measurements for side in SIDES}
        for name in sorted(names["base"].keys() - names["cand"].keys()):
            self._add_row(label, name, verdicts.MISSING, "cand has no such benchmark")
        for name in sorted(names["cand"].keys() - names["base"].keys()):
            self._add_row(label, name, verdicts.NEW, "base has no such benchmark")
        common = sorted(names["base"].keys() & names["cand"].keys())
        problems += [f"{label}: {text}" for text in _calibrated_on_one_side(names, common)]
        if not common:
            return []
        target = Target(label, programs, cpus, common, context)
        for name in common:
            for side in SIDES:
                if names[side][name].error and not target.problem:
                    target.fail(verdicts.ERROR, f"{side}: {name}: {names[side][name].error}")
        return [target]

    # Confirming.

    def _compare(self, phases, target, benchmark, quantity):
        base, cand = (target.values(phases, benchmark, side, quantity) for side in SIDES)
        return compare(base, cand) if len(cand) >= 2 else None

    def _confirm(self, targets):
        """Adds the rows of all targets that can still be measured."""
        screened = {
            (target, name, quantity): self._compare(_SCREENED, target, name, quantity)
            for target in targets for name in target.benchmarks for quantity in judge.QUANTITIES
        }
        wanted = self._plan_confirmation(screened)
        self._interleaver.measure("confirm", wanted, _MAX_BUDGET_OVERRUN * self._budget_s)
        compared = {}
        for (target, name, quantity), first in screened.items():
            is_decided = first and judge.screen(first, self._rules.of(quantity)) == verdicts.SAME
            if is_decided or name not in target.samples.get("confirm", {}):
                continue
            second = self._compare(_judged_phases(first, self._rules.of(quantity)), target, name, quantity)
            if second:
                compared[target, name, quantity] = second
        confirmed = judge.confirm_all(compared, self._rules)
        decisions = {
            key: _decide(first, compared.get(key), confirmed.get(key), self._rules.of(key[-1]))
            for key, first in screened.items()
        }
        for target in targets:
            for name in target.benchmarks if not target.problem else ():
                self._add_measured(target, name, *(decisions[target, name, quantity] for quantity in judge.QUANTITIES))

    def _add_measured(self, target, name, typical, tail):
        """The row of a benchmark: the worse verdict of the two, and the numbers of each."""
        verdict = min(typical.verdict, tail.verdict, key=verdicts.ORDER.index)
        self._add_row(
            target.label, name, verdict, row_text.both_notes(typical, tail), target, typical.compared, typical.phases)
        self.rows[-1].update(typical_verdict=typical.verdict, tail=tail.as_json())

    def _plan_confirmation(self, screened):
        """Returns the pairs that each target gets that needs some and finds room."""
        needs = {}  # target -> (its most urgent need, pairs)
        undecided = {}  # target -> its benchmarks that need more pairs
        for (target, name, quantity), compared in screened.items():
            rules = self._rules.of(quantity)
            state = judge.screen(compared, rules) if compared else verdicts.SAME
            if state == verdicts.SAME:
                continue
            pairs, urgency = rules.num_confirm_pairs, _SUSPECTS
            if state == verdicts.UNSURE:
                pairs = judge.more_pairs(compared, rules)
                urgency = _UNDECIDED_TAIL if quantity == judge.TAIL else _UNDECIDED
            undecided.setdefault(target, set()).add(name)
            first_urgency, most = needs.get(target, (urgency, 0))
            needs[target] = (min(urgency, first_urgency), max(most, pairs))
        remaining_s = self._budget_s - self._interleaver.elapsed_s()
        wanted = {}
        for target, (_, pairs) in sorted(needs.items(), key=lambda item: item[1]):
            seconds = pairs * target.pair_seconds
            if seconds <= remaining_s:
                remaining_s -= seconds
                wanted[target] = pairs
                target.wanted = sorted(undecided[target])
        return wanted


@dataclasses.dataclass(frozen=True)
class Decision:
    """What one quantity of one benchmark came to."""

    verdict: str
    note: str
    compared: object = None  # Comparison, or None where there were too few pairs
    phases: tuple = ()

    def as_json(self):
        numbers = dataclasses.asdict(self.compared) if self.compared else {}
        return {"verdict": self.verdict, "note": self.note, "phases": list(self.phases), **numbers}


def _decide(first, second, confirmed_verdict, rules):
    """The Decision from the comparison after the screen and, where there is one, that of the confirmation."""
    if confirmed_verdict:
        note = judge.unsure_note(second, rules) if confirmed_verdict == verdicts.UNSURE else ""
        return Decision(confirmed_verdict, note, second, _judged_phases(first, rules))
    if first is None:
        return Decision(verdicts.UNSURE, "the budget ended before there were two pairs; raise --budget")
    if judge.screen(first, rules) == verdicts.SAME:
        return Decision(verdicts.SAME, "", first, _SCREENED)
    note = f"the budget had no room to confirm; {judge.unsure_note(first, rules)}; raise --budget"
    return Decision(verdicts.UNSURE, note, first, _SCREENED)


def _calibrated_on_one_side(measurements, names):
    """One sentence per benchmark whose time would be divided by that of the calibration kernel on one side alone."""
    return [
        f"{name}: calibration_cpu_ns is absent in {side} alone"
        for name in names for side in SIDES
        if not measurements[side][name].calibration_ns and not measurements[side][name].error
        and any(measurements[other][name].calibration_ns for other in SIDES)
    ]


def _judged_phases(screened, rules):
    """The phases whose samples decide a confirmed benchmark."""
    return _FRESH if screened and judge.screen(screened, rules) == judge.SUSPECT else _SCREENED + _FRESH


def print_progress(phase, round_index, num_rounds, num_targets):
    """One line that counts up on a terminal; in a log, one line a phase."""
    is_last = round_index == num_rounds
    if is_last or sys.stderr.isatty():
        line = f"\rperf: {phase}: round {round_index} of {num_rounds}, {num_targets} targets "
        print(line, end="\n" if is_last else "", file=sys.stderr, flush=True)


def document(sides, rows, rules, seed, fitness, machine_facts, wall_s, code):
    """All of a run, as --json writes it and every report reads it."""
    return {
        "schema": SCHEMA,
        "sides": {side.name: {"given": side.given, "commit": side.commit} for side in sides},
        "rules": dataclasses.asdict(rules),
        "order_seed": seed,
        "machine": machine_facts,
        "machine_class": machine.machine_class(machine_facts),
        "fitness": dataclasses.asdict(fitness),
        "wall_s": wall_s,
        "exit_code": code,
        "rows": rows,
    }
