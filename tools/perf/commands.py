"""The commands of perf: each takes parsed flags and returns the exit code."""

import datetime
import json
import os
import random
import subprocess
import sys
import tempfile
import time

from tools.perf import ab as ab_module
from tools.perf import history as history_module
from tools.perf import (
    cli, instructions, machine, record as record_module, report_html, report_text, selftest as selftest_module,
    selftest_summary, sides, trends, verdicts,
)
from tools.perf.errors import InputError
from tools.perf.judge import Rules
from tools.perf.runner import Runner


def ab(flags):
    for path, flag in ((flags.json, "--json"), (flags.md, "--md"), (flags.html, "--html")):
        cli.check_writable(path, flag)
    with sides.alone(_cache_dir()):
        base, cand = _prepare_both(flags)
        fitness = _check_fitness(cand.calibrate or base.calibrate, flags.allow_noisy)
        if fitness.is_noisy and not flags.allow_noisy:
            return verdicts.EXIT_UNDECIDED
        seed = _seed(flags)
        runner = Runner(flags.timeout, flags.n_steps)
        comparer = ab_module.Comparer(
            _rules(flags), runner, seed, flags.budget, flags.allow_change, ab_module.print_progress)
        started = time.monotonic()
        rows = comparer.run(base, cand)
        wall_s = time.monotonic() - started
        counted = instructions.compare(base, cand, 1, flags.timeout, _print_counting) if flags.ir else None
    code = verdicts.exit_code((row["verdict"] for row in rows), flags.allow_unsure)
    document = ab_module.document(
        (base, cand), rows, _rules(flags), seed, fitness, machine.facts(), wall_s, code)
    if counted is not None:
        document["instructions"] = counted
    document["selftest"] = selftest_summary.last_measured(_checkout())
    _write(flags.json, json.dumps(document, indent=1) + "\n")
    _write(flags.md, report_text.markdown(document))
    if flags.html:
        _write(flags.html, report_html.ab(document, _histories(flags.history_dir, document)))
    sys.stdout.write(report_text.terminal(document))
    return code


def record(flags):
    with sides.alone(_cache_dir()):
        side = sides.prepare("cand", flags.cand, flags.targets, _build_options(flags))
        if not side.programs:
            raise InputError(_no_target(flags))
        fitness = _check_fitness(side.calibrate, flags.allow_noisy)
        if fitness.is_noisy and not flags.allow_noisy:
            return verdicts.EXIT_UNDECIDED
        seed = _seed(flags)
        meter = machine.StealMeter()
        recorder = record_module.Recorder(Runner(flags.timeout, flags.n_steps), random.Random(seed), time.monotonic)
        collected, failures = recorder.measure(side, flags.processes)
    run = record_module.RecordedRun(side, machine.facts(), seed, meter.share())
    records = record_module.records_of(collected, run)
    history_module.append(flags.history_dir, records)
    print("\n".join(record_module.summary_lines(records)))
    for label, (verdict, problem) in sorted(failures.items()):
        print(f"perf: {label}: {verdict}: {problem}", file=sys.stderr)
    return verdicts.exit_code((verdict for verdict, _ in failures.values()), 0)


def history(flags):
    cli.check_writable(flags.html, "--html")
    machine_class = flags.machine_class or machine.machine_class(machine.facts())
    commits = trends.commits_since(_checkout(), flags.since) if flags.since else None
    series = trends.load(flags.history_dir, machine_class, flags.target, flags.last, commits)
    if flags.html:
        _write(flags.html, report_html.trends(series, machine_class))
    sys.stdout.write(trends.terminal(series))
    return verdicts.EXIT_GOOD


def ir(flags):
    cli.check_writable(flags.json, "--json")
    with sides.alone(_cache_dir()):
        base, cand = _prepare_both(flags)
        rows = instructions.compare(base, cand, flags.repeats, flags.timeout, _print_counting)
    _write(flags.json, json.dumps({"schema": ab_module.SCHEMA, "rows": rows}, indent=1) + "\n")
    sys.stdout.write(instructions.terminal(rows))
    return verdicts.exit_code((row["verdict"] for row in rows), 0)


def selftest(flags):
    if flags.kind == "summary":
        path = flags.out or os.path.join(_checkout(), selftest_module.RESULTS)
        sys.stdout.write(selftest_summary.markdown(selftest_module.read(path)))
        return verdicts.EXIT_GOOD
    cli.check_writable(flags.out, "--out")
    pct = flags.pct if flags.kind == "inject" else 0.0
    with sides.alone(_cache_dir()):
        fitness = machine.measure_fitness([_bundled("bench/harness/calibrate")])
        conditions = {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine_class": machine.machine_class(machine.facts()),
            "commit": _commit(),
            "calibration_variation": round(fitness.coefficient_of_variation, 4),
        }
        trials = selftest_module.Trials(
            [_bundled("tools/perf/known_cost/known_cost_benchmark")], pct, _rules(flags), flags.noise, conditions,
            flags.out)
        done = trials.num_done()
        if done:
            print(f"perf: {flags.out} holds {done} such trials already", file=sys.stderr)
        new = trials.run(
            max(0, flags.trials - done), _seed(flags), machine.allowed_cpus(), selftest_module.print_progress)
    sys.stdout.write(selftest_summary.markdown(selftest_module.read(flags.out) if flags.out else new))
    return verdicts.EXIT_GOOD


def _print_counting(index, count, label):
    print(f"perf: ir: {index} of {count}: {label}", file=sys.stderr)


def _prepare_both(flags):
    options = _build_options(flags)
    base = sides.prepare("base", flags.base, flags.targets, options)
    cand = sides.prepare("cand", flags.cand, flags.targets, options)
    if not base.programs and not cand.programs:
        raise InputError(_no_target(flags))
    return base, cand


def _no_target(flags):
    if flags.targets is None:
        return "no target is tagged perf_target; choose others with --targets"
    return f"--targets '{flags.targets.pattern}' matches no target under //bench"


def _check_fitness(calibrate, allow_noisy):
    if not calibrate:
        raise InputError(f"neither side has {sides.CALIBRATE}, which tells whether the machine is fit")
    fitness = machine.measure_fitness(calibrate)
    if fitness.is_noisy:
        advice = "measuring all the same" if allow_noisy else "nothing was measured; --allow-noisy would"
        print(f"perf: NOISY: {fitness.problem}; {advice}", file=sys.stderr)
    return fitness


def _rules(flags):
    return Rules(min_effect=flags.min_effect, alpha=flags.alpha, num_screen_pairs=flags.screen,
                 num_confirm_pairs=flags.confirm)


def _seed(flags):
    return flags.seed if flags.seed is not None else int.from_bytes(os.urandom(4), "big")


def _build_options(flags):
    return sides.BuildOptions(_checkout(), _cache_dir(), tuple(flags.bazel_flags))


def _checkout():
    """The checkout that the user stands in, or started this from."""
    given = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if given:
        return given
    run = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True)
    return run.stdout.strip() or os.getcwd()


def _commit():
    run = subprocess.run(["git", "-C", _checkout(), "rev-parse", "HEAD"], capture_output=True, text=True)
    return run.stdout.strip() or "unknown"


def _cache_dir():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "sluice_perf")


def _bundled(relative_path):
    """A file that Bazel put beside this program."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", relative_path)


def _histories(folder, document):
    """The records of the benchmarks of a report, for its trends; none where there is no history."""
    found = {}
    for row in document["rows"]:
        path = history_module.path_of(folder, document["machine_class"], row["target"])
        if row["benchmark"] and os.path.exists(path):
            records = [r for r in history_module.read(path) if r["benchmark"] == row["benchmark"]]
            if records:
                found[row["target"], row["benchmark"]] = records
    return found


def _write(path, text):
    """Writes a report whole or not at all; nothing without a path."""
    if path is None:
        return
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=".perf_", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
