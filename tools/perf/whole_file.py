"""Files that are written whole or not at all: beside their place, synced, then renamed to it.

A kill at any point leaves the old file or the new one, and so does a full disk.
"""

import contextlib
import os
import tempfile

from tools.perf.errors import InputError


def check(path, flag):
    """Raises InputError unless write() may be asked for `path`: called before long work whose result goes there.
    Without a path there is nothing to check."""
    if path is None:
        return
    if os.path.isdir(path):
        raise InputError(f"{flag} '{path}' is a folder")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{flag} '{path}' is not a regular file")
    check_folder(os.path.dirname(os.path.realpath(path)), f"{flag} '{path}'")


def check_folder(folder, what):
    """Raises InputError, which begins with `what`, unless a file can be made in the folder."""
    if not os.path.isdir(folder):
        raise InputError(f"{what}: {folder} is not a folder")
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".perf_", dir=folder)
    except OSError as error:
        raise InputError(f"{what}: {folder} cannot be written: {error.strerror}") from error
    os.close(descriptor)
    os.unlink(temporary)


def write(path, text):
    """Raises InputError naming the path and what the system said; then nothing has changed."""
    try:
        _write(path, text)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}; it is as it was") from error


def _write(path, text):
    folder, name = os.path.split(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        try:
            _write_all(descriptor, text.encode("utf-8", "backslashreplace"))
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, os.path.join(folder, name))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
