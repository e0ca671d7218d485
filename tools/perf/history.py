"""The history of every target: <folder>/<machine class>/<package>/<name>.jsonl, one record a line.

Records are only ever added.  A file is written whole under a temporary name, synced and renamed, under a lock, so
that two writers lose nothing and a kill at any point leaves the old file or the new one.
"""

import fcntl
import json
import os
import tempfile

from tools.perf.errors import InputError

SCHEMA = 1

_REQUIRED = {
    "schema", "target", "benchmark", "config", "config_hash", "commit", "dirty", "build", "machine", "machine_class",
    "run", "samples", "counters", "verdict",
}


def path_of(folder, machine_class, label):
    """The file of a target; its label is //package:name."""
    return os.path.join(folder, machine_class, label.removeprefix("//").replace(":", "/") + ".jsonl")


def append(folder, records):
    """Adds records, each to the file of its machine class and target.  Raises InputError, before anything is
    written, when a record or an existing file has a schema that this version does not know."""
    by_path = {}
    for record in records:
        _check(record, "the new record")
        by_path.setdefault(path_of(folder, record["machine_class"], record["target"]), []).append(record)
    for path in by_path:
        if os.path.exists(path):
            read(path)
    for path, new in by_path.items():
        _append_to(path, new)


def read(path):
    """The records of one file, oldest first.  Raises InputError naming path and line for what it cannot read."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise InputError(f"history {path}: {error.strerror}") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"history {path}, line {number}: not JSON ({error})") from error
        _check(record, f"history {path}, line {number}")
        records.append(record)
    return records


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


def _check(record, where):
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        schema = record.get("schema") if isinstance(record, dict) else None
        raise InputError(f"{where}: unknown schema {schema!r}; this version reads and writes schema {SCHEMA}")
    missing = sorted(_REQUIRED - record.keys())
    if missing:
        raise InputError(f"{where}: lacks {', '.join(missing)}")


def _append_to(path, new):
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f".{name}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old_text = ""
        if os.path.exists(path):
            read(path)  # Refuses a file that this version does not understand.
            with open(path, encoding="utf-8") as file:
                old_text = file.read()
            if not old_text.endswith("\n"):
                old_text += "\n"
        _replace(path, old_text + "".join(json.dumps(record, sort_keys=True) + "\n" for record in new))


def _replace(path, text):
    folder, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
