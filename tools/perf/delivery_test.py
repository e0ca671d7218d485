"""Where results go: reports and histories on disks without room, terminals that are gone, interruptions."""

import os
import signal
import stat
import subprocess
import time
import unittest

from tools.perf import fakes
from tools.perf.gate_case import PERF, GateCase


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class DeliveryTest(GateCase):
    def test_report_that_cannot_be_written_is_refused_first(self):
        run = self.perf("ab", "--base=base", "--cand=cand", "--html=no/such/report.html")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--html 'no/such/report.html'", run.stderr)

    def test_report_that_would_replace_a_device_is_refused(self):
        pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(pipe)
        run = self.perf("ab", "--base=base", "--cand=cand", "--html=pipe")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--html 'pipe' is not a regular file", run.stderr)
        self.assertTrue(stat.S_ISFIFO(os.stat(pipe).st_mode))

    def test_report_that_does_not_fit_on_the_disk(self):
        with open(os.path.join(self.folder, "out.html"), "w", encoding="ascii") as file:
            file.write("old")
        before = sorted(os.listdir(self.folder))
        run = self.perf("ab", "--base=base", "--cand=cand", "--targets=.", "--html=out.html", "--md=out.md",
                        "--allow-noisy", max_file_bytes=4096)
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertIn("perf: cannot write 'out.html': File too large; it is as it was", run.stderr)
        self.assertNotIn("Traceback", run.stderr)
        # The table and the report that fits are not lost; nothing half is left.
        self.assertRegex(run.stdout, r"2 benchmarks: .* exit code 0")
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*before, "out.md", "sluice_perf"]))
        with open(os.path.join(self.folder, "out.html"), encoding="ascii") as file:
            self.assertEqual(file.read(), "old")

    def test_terminal_that_takes_no_more(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            run = self.perf("ab", "--base=base", "--cand=cand", "--targets=.", "--md=out.md", "--allow-noisy",
                            stdout=full)
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertIn("cannot write to the standard output: No space left", run.stderr)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "out.md")))

    def test_fault_of_the_tool_is_not_slower(self):
        with open(os.path.join(self.folder, "lscpu"), "w", encoding="ascii") as file:
            file.write("#!/bin/bash\necho '{}'")
        os.chmod(os.path.join(self.folder, "lscpu"), 0o755)
        run = self.perf("history", "x", PATH=self.folder + ":" + os.environ["PATH"])
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertIn("Traceback", run.stderr)
        self.assertIn("perf: this is a fault of perf itself", run.stderr)

    def test_interruption_ends_the_children_and_leaves_no_report(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                self.interrupt(number)

    def test_signal_that_was_ignored_at_the_start_stays_ignored(self):
        perf, started = self.start_perf("nohup", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        perf.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        self.assertIsNone(perf.poll())
        perf.send_signal(signal.SIGTERM)
        _, err = perf.communicate(timeout=100)
        self.assertEqual(perf.returncode, 128 + signal.SIGTERM, err)
        self.expect_ended(started)

    def test_label_that_the_terminal_cannot_show(self):
        for side in ("base", "cand"):
            fakes.write_benchmark(self.side(side), "//bench:\u00e9tude")
        run = self.perf("ab", "--base=base", "--cand=cand", "--targets=tude", "--allow-noisy", "--md=\u00e9.md",
                        LC_ALL="C", PYTHONIOENCODING="ascii")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("//bench:\\xe9tude", run.stdout)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "\u00e9.md")))
        run = self.perf("ab", "--base=\u00e9", "--cand=cand", LC_ALL="C", PYTHONIOENCODING="ascii")
        self.assertEqual(run.returncode, 2)
        self.assertNotIn("Traceback", run.stderr)
        run = self.perf("ab", "--base=\u00e9", "--cand=cand", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        self.assertEqual(run.returncode, 2)
        self.assertNotIn("Traceback", run.stderr)

    def test_clone_of_another_owner_shows_what_git_says(self):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run([*git, "init", "--quiet", self.folder], check=True)
        subprocess.run([*git, "-C", self.folder, "commit", "--quiet", "--allow-empty", "-m", "a"], check=True)
        run = self.perf("ab", "--base=HEAD", "--cand=HEAD", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
        self.assertEqual(run.returncode, 2)
        self.assertIn("dubious ownership", run.stderr)
        self.assertIn("git config --global --add safe.directory", run.stderr)
        # Folders of programs need no git.
        run = self.perf("ab", "--base=base", "--cand=cand", "--targets=.", "--allow-noisy",
                        GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
        self.assertEqual(run.returncode, 0, run.stderr)

    def start_perf(self, *launcher, **streams):
        """Starts a comparison whose candidate sleeps, and returns (process, path of the file with its process numbers)
        once that sleeps."""
        started = os.path.join(self.folder, "started" + "".join(launcher))
        program = os.path.join(self.side("cand"), "bench/kernels/matmul")
        with open(program, "w", encoding="ascii") as file:
            file.write(f"#!/bin/bash\nsleep 1000 &\necho $$ $! > {started}.new\nmv {started}.new {started}\nwait\n")
        perf = subprocess.Popen(
            [*launcher, *PERF, "ab", "--base=base", "--cand=cand", "--targets=.", "--json=out.json", "--allow-noisy"],
            cwd=self.folder, env=self.environment(), text=True, **streams)
        deadline = time.monotonic() + 100
        while not os.path.exists(started):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        return perf, started

    def expect_ended(self, started):
        with open(started, encoding="ascii") as file:
            for pid in file.read().split():
                self.assertFalse(_is_running(pid), pid)
        os.unlink(started)

    def interrupt(self, number):
        # The candidate starts another program, as a wrapper of a bundle might.
        perf, started = self.start_perf(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        perf.send_signal(number)
        out, err = perf.communicate(timeout=100)
        self.assertEqual(perf.returncode, 128 + number, err)
        self.assertIn("perf: interrupted; nothing was judged", err)
        self.assertEqual(out, "")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "out.json")))
        self.expect_ended(started)

    def test_history_that_does_not_fit_on_the_disk(self):
        arguments = ("record", "--cand=cand", "--targets=matmul", "--processes=12", "--allow-noisy")
        self.assertEqual(self.perf(*arguments).returncode, 0)
        before = self.files_in("perf")
        size = max(map(len, before.values()))
        run = self.perf(*arguments, max_file_bytes=size + 100)
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertIn("1 of 1 histories did not get their records", run.stderr)
        self.assertIn("File too large; it is as it was", run.stderr)
        # What was measured is at least said.
        self.assertIn("BM_layer: median", run.stdout)
        self.assertEqual(self.files_in("perf"), before)

    def test_history_that_cannot_be_written_is_found_before_measuring(self):
        with open(os.path.join(self.folder, "file"), "w", encoding="ascii"):
            pass
        run = self.perf("record", "--cand=cand", "--targets=.", "--history-dir=file")
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        self.assertIn("--history-dir 'file'", run.stderr)

    def files_in(self, folder):
        found = {}
        for parent, _, names in os.walk(os.path.join(self.folder, folder)):
            for name in names:
                with open(os.path.join(parent, name), "rb") as file:
                    found[name] = file.read()
        return found

    def test_record_then_history(self):
        for _ in range(2):
            run = self.perf("record", "--cand=cand", "--targets=.", "--processes=3")
            self.assertEqual(run.returncode, 0, run.stderr)
        run = self.perf("history", "matmul", "--html=trend.html")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("//bench/kernels:matmul BM_layer: 2 records", run.stdout)
        with open(os.path.join(self.folder, "trend.html"), encoding="utf-8") as file:
            self.assertIn('<div class="plot trend', file.read())

    def test_record_of_processes_that_disagree_is_refused(self):
        counter = os.path.join(self.folder, "runs")
        # Every other process takes 27 % longer, with the same calibration.
        self.mutate(code=f"file = open({counter!r}, 'a+'); file.write('x'); file.flush(); file.seek(0)\n"
                         "spec['document']['benchmarks'][0]['cpu_time'] *= 1.27 if len(file.read()) % 2 else 1")
        arguments = ("record", "--cand=cand", "--targets=.", "--processes=8")
        run = self.perf(*arguments)
        self.assertEqual(run.returncode, 3, run.stderr)
        self.assertRegex(run.stderr, r"//bench/kernels:matmul BM_layer: its 8 processes disagree: .*; not recorded")
        self.assertEqual(self.perf("history", "matmul").returncode, 2)
        self.assertEqual(self.perf("history", "gpipe").returncode, 0)
        run = self.perf(*arguments, "--allow-noisy")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("recorded as UNSURE", run.stderr)
        self.assertRegex(self.perf("history", "matmul").stdout, r" x calibration \(.* [mu]s\)  UNSURE")

    def test_record_says_units_and_what_changed_since_the_last(self):
        arguments = ("record", "--cand=cand", "--targets=matmul", "--processes=8")
        self.assertRegex(self.perf(*arguments).stdout,
                         r"BM_layer: median [45]\d(\.\d+)? x calibration \(.* [mu]s\) over 8 processes, 95 % interval ")
        self.mutate(rows=[fakes.row(time_ns=1.27e6)])
        self.assertRegex(self.perf(*arguments).stdout, r"; \+[23]\d\.\d+% against the record of 20")

    def test_history_of_another_machine_class_is_refused(self):
        self.assertEqual(self.perf("record", "--cand=cand", "--targets=.", "--processes=2").returncode, 0)
        run = self.perf("history", "matmul", "--machine-class=other")
        self.assertEqual(run.returncode, 2)
        self.assertIn("no history of machine class other", run.stderr)

    def test_record_keeps_no_sample_of_a_failure(self):
        self.mutate(rows=[fakes.row(time_ns=0.0)])
        run = self.perf("record", "--cand=cand", "--targets=.", "--processes=2")
        self.assertEqual(run.returncode, 4)
        self.assertIn("//bench/kernels:matmul: ERROR", run.stderr)
        self.assertEqual(self.perf("history", "matmul").returncode, 2)


if __name__ == "__main__":
    unittest.main()
