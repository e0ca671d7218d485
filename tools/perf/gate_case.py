"""The whole program over two folders of stand-in binaries, one of which a test mutates."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import unittest

from tools.perf import fakes

GOOD, BAD = "//bench:gpipe_test_w2_cpu", "//bench/kernels:matmul"

PERF = [sys.executable, "-B", "-P", "-s", "-m", "tools.perf.main"]


class GateCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for side in ("base", "cand"):
            fakes.write_calibrate(self.side(side))
            fakes.write_benchmark(self.side(side), GOOD)
            fakes.write_benchmark(self.side(side), BAD)

    def side(self, name):
        return os.path.join(self.folder, name)

    def environment(self, **variables):
        environment = {**os.environ, "XDG_CACHE_HOME": self.folder, **variables}
        environment.pop("BUILD_WORKSPACE_DIRECTORY", None)
        return environment

    def perf(self, *arguments, max_file_bytes=None, stdout=subprocess.PIPE, **variables):
        """max_file_bytes stands in for a disk with so little room."""
        limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
                 ) if max_file_bytes else None
        return subprocess.run(
            [*PERF, *arguments], cwd=self.folder, env=self.environment(**variables), stdout=stdout,
            stderr=subprocess.PIPE, text=True, timeout=200, preexec_fn=limit)

    def ab(self, *arguments, targets="."):
        """Runs perf ab; returns the run and its verdicts by target."""
        # The stand-ins vary by 0.5 %, so that few pairs decide.
        run = self.perf("ab", "--base=base", "--cand=cand", f"--targets={targets}", "--json=out.json", "--seed=1",
                        "--screen=6", "--confirm=10", *arguments)
        out, verdicts = os.path.join(self.folder, "out.json"), {}
        if os.path.exists(out):
            with open(out, encoding="utf-8") as file:
                verdicts = {row["target"]: row["verdict"] for row in json.load(file)["rows"]}
        return run, verdicts

    def expect(self, exit_code, verdict, message="", arguments=()):
        """The mutated target has the verdict and the other is SAME, and the program ends with the code."""
        run, verdicts = self.ab(*arguments)
        self.assertEqual(run.returncode, exit_code, run.stderr + run.stdout)
        self.assertEqual(verdicts, {GOOD: "SAME", BAD: verdict})
        # Long notes are wrapped.
        self.assertIn(message, " ".join(run.stdout.split()))

    def expect_refused(self, *messages, targets="."):
        """Bad input: exit code 2, one message, nothing judged."""
        run, verdicts = self.ab(targets=targets)
        self.assertEqual(run.returncode, 2, run.stderr + run.stdout)
        self.assertEqual(verdicts, {})
        for message in messages:
            self.assertIn(message, run.stderr)
        self.assertNotIn("Traceback", run.stderr)

    def mutate(self, side="cand", **arguments):
        fakes.write_benchmark(self.side(side), BAD, **arguments)
