"""A scheme's --svg_out and --trace_out: every op of both passes, predicted and measured, and refusals."""

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
FLAGS = ["--world_size=2", "--batch_size=2", "--num_micro_batches=2", "--num_layers=4", "--seq_len=32", "--n_steps=3"]


def run(*flags):
    return subprocess.run([PROGRAM] + FLAGS + list(flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class StepOutputs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def test_trace_has_every_op_predicted_and_measured(self):
        result = run("--trace_out=" + self.path("trace.json.gz"))
        self.assertEqual(result.returncode, 0, result.stderr)
        with gzip.open(self.path("trace.json.gz"), "rt") as file:
            events = json.load(file)["traceEvents"]
        ops = [event["name"] for event in events if event["ph"] == "X" and event.get("tid") == 1]
        forwards = ["F%d.%d.0" % (stage, micro_batch) for stage in range(2) for micro_batch in range(2)]
        backwards = ["BW" + op[1:] for op in forwards]
        # The forward pass and the step, each predicted and measured.
        self.assertEqual(sorted(ops), sorted(4 * forwards + 2 * backwards))
        for event in events:
            if event["ph"] == "X":
                self.assertGreaterEqual(event["dur"], 0)

    def test_picture_has_the_passes_on_one_axis(self):
        result = run("--svg_out=" + self.path("step.svg"), "--pass=step")
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(self.path("step.svg"), encoding="utf-8") as file:
            picture = file.read()
        self.assertEqual(len(re.findall(r"(predicted|measured): [0-9.]+ ms, bubble [0-9.]+ %", picture)), 2)
        self.assertEqual(len(re.findall(r"<title>F0\.0\.0: ", picture)), 2)

    def test_a_folder_is_refused_before_anything_runs(self):
        result = run("--svg_out=" + self.folder)
        self.assertEqual(result.returncode, 2)
        self.assertIn("--svg_out", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_a_list_of_benchmarks_writes_nothing(self):
        result = run("--list", "--svg_out=" + self.path("none.svg"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertFalse(os.path.exists(self.path("none.svg")))


if __name__ == "__main__":
    unittest.main()
