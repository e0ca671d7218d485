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

    def test_refuses_an_endless_warm_up(self):
        self.expect_refusal("warmup_s inf is not allowed: it must be from 0 to 3600", "--warmup_s=inf")

    def test_refuses_a_prefix_in_a_step(self):
        self.expect_refusal("prefix_len 8 is for pass forward alone", "--pass=forward,step", "--prefix_len=8")


@unittest.skipUnless(HAS_TORCH, "this Python has no torch")
class TimingTest(unittest.TestCase):
    def results_of(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "result.json")
            done = run_script("--num_layers=1", "--threads=1", "--iterations=3", "--warmup=1", f"--json={path}",
                              *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(pathlib.Path(path).read_text())["results"]

    def test_times_forward_and_step(self):
        results = self.results_of("--pass=forward,step", "--model=test,gpt2-1hm", "--seq_len=16")
        self.assertEqual([(result["model"], result["which_pass"]) for result in results],
                         [("test", "forward"), ("test", "step"), ("gpt2-1hm", "forward"), ("gpt2-1hm", "step")])
        for result in results:
            self.assertEqual(len(result["times_ns"]), 3)
            self.assertEqual(result["median_ns"], sorted(result["times_ns"])[1])
            self.assertGreater(result["min_ns"], 0)

    def test_leaves_out_what_the_budget_does_not_hold(self):
        self.assertEqual(self.results_of("--model=test", "--budget_s=1e-9"), [])

    def test_a_prefix_is_seen(self):
        (result,) = self.results_of("--model=test", "--seq_len=16", "--prefix_len=24")
        self.assertEqual(result["prefix_len"], 24)

    def test_times_for_as_long_as_asked(self):
        (result,) = self.results_of("--model=test", "--seq_len=16", "--warmup_s=0.3", "--timed_s=0.5")
        self.assertGreaterEqual(result["warmup_passes_s"], 0.3)
        self.assertGreater(len(result["times_ns"]), 3)

    def test_serves(self):
        requests = [{"prepare": {"model": "test", "dtype": "f32", "which_pass": "step", "num_layers": 1},
                     "as": "a"},
                    {"mode": "eager", "of": "a"},
                    {"time": "eager", "of": "a", "iterations": 2, "warmup_s": 0, "timed_s": 0}, {"forget": True},
                    {"prepare": {"model": "tset", "dtype": "f32", "which_pass": "step"}, "as": "b"}]
        done = subprocess.run([sys.executable, "-B", str(SCRIPT), "--serve", "--threads=1"], text=True, check=True,
                              input="".join(json.dumps(request) + "\n" for request in requests), capture_output=True)
        hello, case, mode, timed, _, refused = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(hello["ok"]["device"], "cpu")
        self.assertEqual(case["ok"]["hidden_size"], 256)
        self.assertLess(mode["ok"]["largest_error"], 1e-4)
        self.assertEqual(len(timed["ok"]["times_ns"]), 2)
        self.assertIn("model 'tset' is not known", refused["error"])


if __name__ == "__main__":
    unittest.main()
