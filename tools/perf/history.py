"""The history of every target: <folder>/<machine class>/<package>/<name>.jsonl, one record a line.

Records are only ever added.  A file is replaced whole (whole_file.py) under a lock, so that two writers lose nothing,
and a kill or a full disk at any point leaves the old file or the new one.
"""

import fcntl
import json
import math
import os

from tools.perf import whole_file
from tools.perf.errors import InputError

SCHEMA = 1

_TYPES = {
    "schema": int, "target": str, "benchmark": str, "config": dict, "config_hash": str, "commit": str,
    "dirty": (bool, str), "build": dict, "machine": dict, "machine_class": str, "run": dict, "samples": list,
    "counters": dict, "verdict": (str, type(None)),
}


def path_of(folder, machine_class, label):
    """The file of a target; its label is //package:name."""
    return os.path.join(folder, machine_class, label.removeprefix("//").replace(":", "/") + ".jsonl")


def append(folder, records):
    """Adds records, each to the file of its machine class and target.

    Raises InputError, before anything is written, when a record or an existing file has a schema that this version does
    not know; and when a file cannot be written, naming the targets whose records were not added."""
    by_path = {}
    for record in records:
        _check(record, "the new record")
        by_path.setdefault(path_of(folder, record["machine_class"], record["target"]), []).append(record)
    for path in by_path:
        if os.path.exists(path):
            read(path)
    problems = []
    for path, new in by_path.items():
        try:
            _append_to(path, new)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError(
            f"{len(problems)} of {len(by_path)} histories did not get their records:\n  " + "\n  ".join(problems))


def last_records(folder, records):
    """The newest record in the history of the same configuration, by target and benchmark of `records`."""
    found = {}
    for record in records:
        path = path_of(folder, record["machine_class"], record["target"])
        for old in read(path) if os.path.exists(path) else ():
            if (old["benchmark"], old["config_hash"]) == (record["benchmark"], record["config_hash"]):
                found[record["target"], record["benchmark"]] = old
    return found


def check_writable(folder):
    """Raises InputError unless a history can be kept in `folder`, which need not exist yet: asked before measuring."""
    existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    whole_file.check_folder(existing, f"--history-dir '{folder}'")


def read(path):
    """The records of one file, oldest first.  Raises InputError naming path and line for what it cannot read."""
    return _parse(_read_text(path), path)


def classes(folder):
    """The machine classes that have a history."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if os.path.isdir(folder) else []


def files(folder, machine_class):
    """The history files of a class, by label."""
    root = os.path.join(folder, machine_class)
    found = {}
    for parent, _, names in os.walk(root):
        for name in names:
            if name.endswith(".jsonl") and not name.startswith("."):
                package = os.path.relpath(parent, root).replace(os.sep, "/")
                package = "" if package == "." else package
                found[f"//{package}:{name.removesuffix('.jsonl')}"] = os.path.join(parent, name)
    return dict(sorted(found.items()))


def _read_text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"history {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"history {path}: not a text file: {error}") from error


def _parse(text, path):
    records = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"history {path}, line {number}: not JSON ({error})") from error
        _check(record, f"history {path}, line {number}")
        records.append(record)
    return records


def _check(record, where):
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        schema = record.get("schema") if isinstance(record, dict) else None
        raise InputError(f"{where}: unknown schema {schema!r}; this version reads and writes schema {SCHEMA}")
    missing = sorted(_TYPES.keys() - record.keys())
    if missing:
        raise InputError(f"{where}: lacks {', '.join(missing)}")
    for key, expected in _TYPES.items():
        if not isinstance(record[key], expected):
            raise InputError(f"{where}: {key} is {json.dumps(record[key])[:60]}")
    if not isinstance(record["run"].get("time"), str):
        raise InputError(f"{where}: run has no time")
    values = [sample.get("value") if isinstance(sample, dict) else None for sample in record["samples"]]
    if not all(isinstance(value, (int, float)) and 0 < value < math.inf for value in values) or not values:
        raise InputError(f"{where}: samples hold no positive values")


def _append_to(path, new):
    folder, name = os.path.split(path)
    try:
        os.makedirs(folder, exist_ok=True)
        lock = open(os.path.join(folder, f".{name}.lock"), "w", encoding="ascii")
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old_text = ""
        if os.path.exists(path):
            old_text = _read_text(path)
            _parse(old_text, path)  # Refuses a file that this version does not understand.
            if old_text and not old_text.endswith("\n"):
                old_text += "\n"
        whole_file.write(path, old_text + "".join(json.dumps(record, sort_keys=True) + "\n" for record in new))
