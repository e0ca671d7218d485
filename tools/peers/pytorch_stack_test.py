"""Tests of pytorch_stack.py; what needs PyTorch is skipped where there is none."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(os.environ["TEST_SRCDIR"]) / "sluice/tools/peers/pytorch_stack.py"
HAS_TORCH = importlib.util.find_spec("torch") is not None


def run_script(*arguments):
    return subprocess.run(
        [sys.executable, "-B", str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


class FlagsTest(unittest.TestCase):
    def expect_refusal(self, message, *arguments):
        done = run_script(*arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_names_the_known_models(self):
        self.expect_refusal("model 'tset' is not known; known: test, ", "--model=tset")

    def test_names_the_dtypes_of_the_device(self):
        self.expect_refusal("dtype 'fp16' is not one of f32, f64, bf16 (device cpu)", "--dtype=fp16")

    def test_names_the_modes_of_the_device(self):
        self.expect_refusal("mode 'graph' is not one of eager (device cpu)", "--modes=graph")

    def test_refuses_no_layers(self):
        self.expect_refusal("num_layers 0 is not allowed: it must be 1 or more", "--num_layers=0")


@unittest.skipUnless(HAS_TORCH, "this Python has no torch")
class TimingTest(unittest.TestCase):
    def test_times_forward_and_step(self):
        for which_pass in ["forward", "step"]:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "result.json")
                done = run_script("--num_layers=1", "--threads=1", "--iterations=3", "--warmup=1",
                                  f"--pass={which_pass}", f"--json={path}")
                self.assertEqual(done.returncode, 0, done.stderr)
                written = json.loads(pathlib.Path(path).read_text())
            self.assertEqual(written["context"]["pass"], which_pass)
            (result,) = written["results"]
            self.assertEqual(len(result["times_ns"]), 3)
            self.assertEqual(result["median_ns"], sorted(result["times_ns"])[1])
            self.assertGreater(result["min_ns"], 0)


if __name__ == "__main__":
    unittest.main()
