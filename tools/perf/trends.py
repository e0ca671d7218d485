"""`perf history`: the series of every target on one class of machine, and where they changed."""

import statistics
import subprocess

from tools.perf import change_points, history, row_text
from tools.perf.errors import InputError


def load(folder, machine_class, pattern, last, commits=None):
    """Returns {(target, benchmark): records} of the targets that `pattern` matches, each series of one
    configuration, its newest; `commits` limits them to a set.  Raises InputError when there is nothing to show."""
    files = history.files(folder, machine_class)
    if not files:
        others = ", ".join(history.classes(folder)) or "none"
        raise InputError(
            f"no history of machine class {machine_class} in {folder}; classes with one: {others} "
            "(numbers of different machines are never compared; choose one with --machine-class)")
    series = {}
    for label, path in files.items():
        if not pattern.search(label):
            continue
        for record in history.read(path):
            if record["machine_class"] != machine_class:
                raise InputError(
                    f"history {path}: holds a record of machine class {record['machine_class']}, not {machine_class}")
            if commits is None or record["commit"] in commits:
                series.setdefault((label, record["benchmark"]), []).append(record)
    if not series:
        raise InputError(f"no record matches; targets with a history: {', '.join(files)}")
    return {key: _newest_config(records)[-last:] for key, records in series.items()}


def commits_since(checkout, ref):
    """The commits after `ref`, as full hashes."""
    run = subprocess.run(
        ["git", "-C", checkout, "rev-list", "--end-of-options", f"{ref}..HEAD"], capture_output=True, text=True)
    if run.returncode != 0:
        raise InputError(f"--since '{ref}' is no git ref of {checkout}: git says: {run.stderr.strip()}")
    return set(run.stdout.split())


def terminal(series):
    lines = []
    for (target, benchmark), records in series.items():
        medians = [statistics.median(sample["value"] for sample in record["samples"]) for record in records]
        changes = change_points.find(medians)
        lines += row_text.wrapped(
            f"{target} {benchmark}: {len(records)} records of configuration {records[-1]['config_hash']}")
        for index, record in enumerate(records):
            change = ""
            if index in changes:
                before = statistics.median(medians[max(0, index - change_points.MIN_SEGMENT):index])
                after = statistics.median(medians[index:index + change_points.MIN_SEGMENT])
                change = f"  <- changed by {after / before - 1:+.2%}"
            lines.append(row_text.printable(
                f"  {record['run']['time'][:16]}  {record['commit'][:12]:12}  {row_text.value(record['samples']):>32}  "
                f"{record['verdict'] or '-':8}{change}".rstrip()))
    return "\n".join(lines) + "\n"


def _newest_config(records):
    newest = records[-1]["config_hash"]
    return [record for record in records if record["config_hash"] == newest]
