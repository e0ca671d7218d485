"""History files under concurrent writers, kills, and records of another time."""

import json
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import unittest

from tools.perf import history
from tools.perf.errors import InputError

_LABEL = "//bench/kernels:matmul"


def _record(number, **fields):
    return {
        "schema": history.SCHEMA, "target": _LABEL, "benchmark": "BM", "config": {}, "config_hash": "0",
        "commit": str(number), "dirty": "false", "build": {}, "machine": {}, "machine_class": "class",
        "run": {"time": "2026-01-01T00:00:00+00:00"}, "samples": [{"value": 1.0}], "counters": {}, "verdict": None,
        **fields,
    }


def _append_many(folder, first, count):
    for number in range(first, first + count):
        history.append(folder, [_record(number)])


def _append_forever(folder):
    # Long enough that a kill often falls into the writing.
    records = [_record(number, counters={"padding": "x" * 20000}) for number in range(50)]
    while True:
        history.append(folder, records)


class HistoryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = history.path_of(self.folder, "class", _LABEL)

    def test_is_a_line_a_record_in_the_order_added(self):
        _append_many(self.folder, 0, 3)
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual([json.loads(line)["commit"] for line in file], ["0", "1", "2"])
        self.assertEqual(history.files(self.folder, "class"), {_LABEL: self.path})
        self.assertEqual(history.classes(self.folder), ["class"])

    def test_old_lines_are_kept_byte_for_byte(self):
        _append_many(self.folder, 0, 1)
        with open(self.path, encoding="utf-8") as file:
            old = " " + file.read()
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(old)
        _append_many(self.folder, 1, 1)
        with open(self.path, encoding="utf-8") as file:
            self.assertTrue(file.read().startswith(old))

    def test_a_last_line_without_its_end_is_not_joined(self):
        _append_many(self.folder, 0, 1)
        with open(self.path, "r+", encoding="utf-8") as file:
            text = file.read().rstrip("\n")
            file.seek(0)
            file.truncate()
            file.write(text)
        _append_many(self.folder, 1, 1)
        self.assertEqual(len(history.read(self.path)), 2)

    def test_writers_at_once_lose_nothing(self):
        writers = [multiprocessing.Process(target=_append_many, args=(self.folder, 100 * i, 25)) for i in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
            self.assertEqual(writer.exitcode, 0)
        commits = sorted(int(record["commit"]) for record in history.read(self.path))
        self.assertEqual(commits, sorted(100 * i + j for i in range(4) for j in range(25)))

    def test_a_kill_leaves_the_old_or_the_new_file(self):
        counts = []
        for attempt in range(30):
            writer = multiprocessing.Process(target=_append_forever, args=(self.folder,))
            writer.start()
            time.sleep(0.02 + 0.007 * attempt)
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
            if os.path.exists(self.path):
                counts.append(len(history.read(self.path)))
        self.assertGreater(counts[-1], 0)
        # A batch of 50 is added whole or not at all, and never lost again.
        self.assertTrue(all(count % 50 == 0 for count in counts), counts)
        self.assertEqual(counts, sorted(counts))
        # The lock of a killed writer is free, and what it left behind is no history.
        history.append(self.folder, [_record(0)])
        self.assertEqual(list(history.files(self.folder, "class")), [_LABEL])

    def test_unknown_schema_is_refused_and_the_file_untouched(self):
        _append_many(self.folder, 0, 1)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(_record(1, schema=2)) + "\n")
        before = os.stat(self.path).st_mtime_ns
        with self.assertRaisesRegex(InputError, "line 2: unknown schema 2"):
            history.read(self.path)
        with self.assertRaisesRegex(InputError, "unknown schema 2"):
            history.append(self.folder, [_record(3), _record(3, target="//bench/other:x")])
        self.assertEqual(os.stat(self.path).st_mtime_ns, before)
        self.assertEqual(list(history.files(self.folder, "class")), [_LABEL])

    def test_a_new_record_is_checked_too(self):
        with self.assertRaisesRegex(InputError, "lacks samples"):
            record = _record(1)
            del record["samples"]
            history.append(self.folder, [record])
        self.assertFalse(os.path.exists(self.path))

    def test_broken_line_is_named(self):
        _append_many(self.folder, 0, 1)
        whole = json.dumps(_record(1))
        for line, message in (
            (b'{"schema": 1, "tar', "not JSON"), (b"", "not JSON"), (b"[" * 100000, "not JSON"),
            (b"\xff\xfe", "not a text file"), (b"null", "unknown schema None"),
            (whole.replace('"run": {"time"', '"run": {"tyme"').encode(), "line 2: run has no time"),
            (whole.replace('{"value": 1.0}', "").encode(), "line 2: samples hold no positive values"),
            (whole.replace('"value": 1.0', '"value": NaN').encode(), "line 2: samples hold no positive values"),
            (whole.replace('"value": 1.0', '"value": "x"').encode(), "line 2: samples hold no positive values"),
            (whole.replace('"commit": "1"', '"commit": 1').encode(), "line 2: commit is 1"),
        ):
            with open(self.path, "wb") as file:
                file.write(whole.encode() + b"\n" + line + b"\n" + whole.encode() + b"\n")
            with self.assertRaisesRegex(InputError, message):
                history.read(self.path)
            # What cannot be read is not added to.
            before = os.stat(self.path).st_mtime_ns
            with self.assertRaisesRegex(InputError, message):
                history.append(self.folder, [_record(3)])
            self.assertEqual(os.stat(self.path).st_mtime_ns, before)

    def test_a_disk_without_room_leaves_the_old_files_and_names_what_was_lost(self):
        small, other = "//bench:small", "//bench:other"
        _append_many(self.folder, 0, 1)
        with open(self.path, encoding="utf-8") as file:
            old = file.read()
        old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old_limit[1]))
        try:
            with self.assertRaisesRegex(
                    InputError, r"2 of 3 histories did not get their records:(\n .*File too large.*){2}"):
                history.append(self.folder, [
                    _record(1, counters={"padding": "x" * 5000}), _record(1, target=small),
                    _record(1, target=other, counters={"padding": "x" * 5000})])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual(file.read(), old)
        self.assertEqual(list(history.files(self.folder, "class")), [_LABEL, small])
        names = [name for _, _, names in os.walk(self.folder) for name in names]
        self.assertTrue(all(name.endswith((".jsonl", ".lock")) for name in names), names)

    def test_a_folder_that_cannot_be_written_is_found_before_measuring(self):
        history.check_writable(os.path.join(self.folder, "not", "yet", "there"))
        self.assertEqual(os.listdir(self.folder), [])
        with open(os.path.join(self.folder, "file"), "w", encoding="ascii"):
            pass
        with self.assertRaisesRegex(InputError, "--history-dir '.*file/deep': .*file is not a folder"):
            history.check_writable(os.path.join(self.folder, "file", "deep"))


if __name__ == "__main__":
    unittest.main()
