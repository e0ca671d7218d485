"""The commands of perf: each takes parsed flags and returns the exit code."""

import datetime
import json
import os
import random
import subprocess
import sys
import time

from tools.perf import ab as ab_module
from tools.perf import history as history_module
from tools.perf import (
    builds, cli, instructions, machine, record as record_module, report_html, report_text, selftest as selftest_module,
    selftest_summary, sides, trends, verdicts, whole_file,
)
from tools.perf.errors import InputError
from tools.perf.judge import Rules
from tools.perf.runner import Runner


def ab(flags):
    for path, flag in ((flags.json, "--json"), (flags.md, "--md"), (flags.html, "--html")):
        whole_file.check(path, flag)
    false_alarms = selftest_summary.last_measured(_checkout())
    with _cache().alone():
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
    document["selftest"] = false_alarms
    _deliver(
        lambda: _print(report_text.terminal(document)),
        lambda: flags.json and whole_file.write(flags.json, json.dumps(document, indent=1) + "\n"),
        lambda: flags.md and whole_file.write(flags.md, report_text.markdown(document)),
        lambda: flags.html and whole_file.write(
            flags.html, report_html.ab(document, _histories(flags.history_dir, document))),
    )
    return code


def record(flags):
    history_module.check_writable(flags.history_dir)
    with _cache().alone():
        side = sides.prepare("cand", flags.cand, flags.targets, _cache(), flags.bazel_flags)
        if not side.programs:
            raise InputError(_no_target(flags, side))
        _print_cache_size(side)
        fitness = _check_fitness(side.calibrate, flags.allow_noisy)
        if fitness.is_noisy and not flags.allow_noisy:
            return verdicts.EXIT_UNDECIDED
        seed = _seed(flags)
        meter = machine.StealMeter()
        recorder = record_module.Recorder(Runner(flags.timeout, flags.n_steps), random.Random(seed), time.monotonic)
        collected, failures = recorder.measure(side, flags.processes)
    run = record_module.RecordedRun(side, machine.facts(), seed, meter.share())
    records = record_module.records_of(collected, run)
    for label, (verdict, problem) in sorted(failures.items()):
        print(f"perf: {label}: {verdict}: {problem}", file=sys.stderr)
    unsupported = record_module.problem_lines(records)
    for line in unsupported:
        outcome = "recorded as UNSURE" if flags.allow_noisy else "not recorded; --allow-noisy records it as UNSURE"
        print(f"perf: {line}; {outcome}", file=sys.stderr)
    kept = [record for record in records if flags.allow_noisy or not record["run"]["problem"]]
    previous = history_module.last_records(flags.history_dir, records)
    _deliver(
        lambda: _print("".join(line + "\n" for line in record_module.summary_lines(records, previous))),
        lambda: history_module.append(flags.history_dir, kept),
    )
    failed = [verdict for verdict, _ in failures.values()]
    return verdicts.exit_code(failed + [verdicts.UNSURE] * len(unsupported), 1.0 if flags.allow_noisy else 0)


def history(flags):
    whole_file.check(flags.html, "--html")
    machine_class = flags.machine_class or machine.machine_class(machine.facts())
    commits = trends.commits_since(_checkout(), flags.since) if flags.since else None
    series = trends.load(flags.history_dir, machine_class, flags.target, flags.last, commits)
    _deliver(
        lambda: _print(trends.terminal(series)),
        lambda: flags.html and whole_file.write(flags.html, report_html.trends(series, machine_class)),
    )
    return verdicts.EXIT_GOOD


def ir(flags):
    whole_file.check(flags.json, "--json")
    with _cache().alone():
        base, cand = _prepare_both(flags)
        rows = instructions.compare(base, cand, flags.repeats, flags.timeout, _print_counting)
    _deliver(
        lambda: _print(instructions.terminal(rows)),
        lambda: flags.json and whole_file.write(
            flags.json, json.dumps({"schema": ab_module.SCHEMA, "rows": rows}, indent=1) + "\n"),
    )
    return verdicts.exit_code((row["verdict"] for row in rows), 0)


def selftest(flags):
    if flags.kind == "summary":
        path = flags.out or os.path.join(_checkout(), selftest_module.RESULTS)
        _print(selftest_summary.markdown(selftest_module.read(path)))
        return verdicts.EXIT_GOOD
    whole_file.check(flags.out, "--out")
    pct, share = (flags.pct, flags.share) if flags.kind == "inject" else (0.0, 1.0)
    with _cache().alone():
        fitness = machine.measure_fitness([_bundled("bench/harness/calibrate")])
        conditions = {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine_class": machine.machine_class(machine.facts()),
            "commit": _commit(),
            "calibration_variation": round(fitness.coefficient_of_variation, 4),
        }
        trials = selftest_module.Trials(
            [_bundled("tools/perf/known_cost/known_cost_benchmark")], pct, share, _rules(flags), flags.noise,
            conditions, flags.out)
        done = trials.num_done()
        if done:
            print(f"perf: {flags.out} holds {done} such trials already", file=sys.stderr)
        new = trials.run(
            max(0, flags.trials - done), _seed(flags), machine.allowed_cpus(), selftest_module.print_progress)
    _print(selftest_summary.markdown(selftest_module.read(flags.out) if flags.out else new))
    return verdicts.EXIT_GOOD


def clean(_):
    cache = _cache()
    with cache.alone():
        size_bytes = cache.size_bytes()
        cache.clean()
        _print(f"removed {(size_bytes - cache.size_bytes()) / 2**30:.1f} GiB of {cache.folder}\n")
    return verdicts.EXIT_GOOD


def _print_counting(index, count, label):
    print(f"perf: ir: {index} of {count}: {label}", file=sys.stderr)


def _prepare_both(flags):
    base, cand = (
        sides.prepare(name, given, flags.targets, _cache(), flags.bazel_flags)
        for name, given in (("base", flags.base), ("cand", flags.cand)))
    if not base.programs and not cand.programs:
        raise InputError(_no_target(flags, base, cand))
    _print_cache_size(base, cand)
    return base, cand


def _no_target(flags, *prepared):
    if flags.targets is None:
        return "no target is tagged perf_target; choose others with --targets"
    known = {label for side in prepared for label in side.labels if label != sides.CALIBRATE}
    # A person names a target by its label or by the end of it.
    by_name = {label.split(":")[-1]: label for label in known} | {label: label for label in known}
    return (f"--targets '{flags.targets.pattern}' matches no target under //bench"
            + cli.hint(flags.targets.pattern, by_name, sorted(known)))


def _print_cache_size(*prepared):
    """Says what the builds have left on the disk, where there were any."""
    if any(side.commit for side in prepared):
        cache = _cache()
        print(f"perf: {cache.folder} holds {cache.size_bytes() / 2**30:.1f} GiB of builds, used again by the next run; "
              "perf clean removes them", file=sys.stderr)


def _check_fitness(calibrate, allow_noisy):
    if not calibrate:
        raise InputError(f"neither side has {sides.CALIBRATE}, which tells whether the machine is fit")
    fitness = machine.measure_fitness(calibrate)
    if fitness.is_noisy:
        advice = "measuring all the same" if allow_noisy else "nothing was measured; --allow-noisy would"
        print(f"perf: NOISY: {fitness.problem}; {advice}", file=sys.stderr)
    return fitness


def _rules(flags):
    return Rules(min_effect=flags.min_effect, min_tail_effect=flags.min_tail_effect, alpha=flags.alpha,
                 num_screen_pairs=flags.screen, num_confirm_pairs=flags.confirm)


def _seed(flags):
    return flags.seed if flags.seed is not None else int.from_bytes(os.urandom(4), "big")


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


def _cache():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return builds.Cache(os.path.join(home, "sluice_perf"), _checkout())


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


def _print(text):
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would try what is left once more at its end, and exit with a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InputError(f"cannot write to the standard output: {error.strerror}") from error


def _deliver(*outputs):
    """Hands out what was measured, each output though others failed; raises InputError for those that did."""
    problems = []
    for output in outputs:
        try:
            output()
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("; ".join(problems))
