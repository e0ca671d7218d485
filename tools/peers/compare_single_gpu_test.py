"""Tests of compare_single_gpu.py on a made-up GPU, with a made-up program in place of Sluice's and without PyTorch, and
of the tables made of its results."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from tools.peers import single_gpu_table

ROOT = pathlib.Path(os.environ["TEST_SRCDIR"]) / "sluice"
SCRIPT = ROOT / "tools/peers/compare_single_gpu.py"

# Answers as //bench:single and //bench/kernels:causal_attention do, with numbers of its own.
FAKE_PROGRAM = """#!{python}
import json, sys
flags = dict(flag[2:].split("=", 1) for flag in sys.argv[2:])
if sys.argv[1] == "single":
    if flags["model"] == "gpt3-6b":
        print("error: out of memory on cuda: weights needs 1.0 PiB")
        sys.exit(2)
    passes = ["forward", "step"] if flags["pass"] == "both" else [flags["pass"]]
    rows = [{{"name": f"scheme:single/pass:{{p}}", "real_time": 1.0, "median_ms": 2.0, "min_ms": 1.5, "max_ms": 3.0,
             "share_of_matmul_rate": 0.8, "share_of_sustained_matmul_rate": 0.9, "matmul_flops_per_s_per_rank": 8e14,
             "sustained_matmul_flops_per_s_per_rank": 7e14, "predicted_device_bytes": 100.0 * 2**20,
             "peak_device_bytes": 104.0 * 2**20, "num_condition_samples": 5.0, "median_sm_clock_mhz": 1755.0,
             "clocks_event_share_sw_power_cap": 0.5}} for p in passes]
else:
    rows = [{{"name": f"kernel:causal_attention_{{p}}/slice_len:{{t}}/prefix_len:{{flags['prefix_lens']}}/num_heads:16/"
                     "head_dim:128/device:cuda/dtype:bf16", "median_ms": 1.0, "min_ms": 1.0, "max_ms": 1.0,
             "flops_per_s": 5e14}} for t in flags["slice_lens"].split(",") for p in ("forward", "backward")]
context = {{"commit": "0123abc", "dirty": "false", "attention": "hopper", "conditions": "NVML"}}
json.dump({{"context": context, "benchmarks": rows}}, open(flags["json_out"], "w"))
"""


def run_script(folder, *arguments):
    """In an environment whose only GPU is the fake library's, and whose Python finds no PyTorch."""
    libraries = folder / "lib"
    libraries.mkdir(exist_ok=True)
    (libraries / "libnvidia-ml.so.1").symlink_to((ROOT / "core/device/cuda/libfake_nvml.so").resolve())
    (libraries / "torch.py").write_text("raise ImportError('there is none in this test')\n")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(libraries)}
    return subprocess.run([sys.executable, "-B", str(SCRIPT), *arguments], capture_output=True, text=True, check=False,
                          env=environment)


class CompareTest(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)

    def test_refuses_a_folder_without_programs(self):
        done = run_script(self.folder, f"--bundle={self.folder}", "--out=x")
        self.assertEqual(done.returncode, 2)
        self.assertIn("holds no program 'run'", done.stderr)

    def test_writes_what_could_be_timed_and_lists_the_rest(self):
        program, out, markdown = (self.folder / name for name in ("run", "out.json", "out.md"))
        program.write_text(FAKE_PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        done = run_script(self.folder, f"--bundle={self.folder}", f"--out={out}", f"--markdown={markdown}",
                          "--models=test", "--budget_s=120")
        self.assertEqual(done.returncode, 1, done.stderr)  # one model did not fit
        result = json.loads(out.read_text())
        self.assertEqual(result["device"], "Fake GPU")
        self.assertEqual(result["driver"], "1.2.3")
        self.assertEqual(result["commit"], "0123abc")
        timed = [row for row in result["rows"] if row["sluice"] is not None]
        self.assertEqual(len(timed), len(result["rows"]) - 1)
        self.assertEqual([(row["model"], row["pass"]) for row in timed[:2]], [("test", "forward"), ("test", "step")])
        self.assertEqual(len(result["attention"]), 12)
        self.assertTrue(any("out of memory on cuda" in what for what in result["left_out"]), result["left_out"])
        self.assertTrue(any("PyTorch test bf16 forward" in what for what in result["left_out"]), result["left_out"])
        self.assertEqual(markdown.read_text(), single_gpu_table.render(result))


class TableTest(unittest.TestCase):
    def row(self, median_ms, **pytorch_ms):
        times = {mode: {"median_ms": ms, "min_ms": ms / 2, "conditions": {}} for mode, ms in pytorch_ms.items()}
        return {"group": "main", "model": "gpt3-1b", "dtype": "bf16", "pass": "forward", "flags": [],
                "pytorch": times, "sluice": {"median_ms": median_ms, "min_ms": median_ms / 2,
                                             "share_of_matmul_rate": 0.8, "share_of_sustained_matmul_rate": 0.9}}

    def test_ratio_is_to_the_fastest_of_pytorch(self):
        row = self.row(8.0, eager=12.0, graph=10.0, compile=11.0)
        self.assertEqual(single_gpu_table.best_mode(row), ("graph", 10.0))
        self.assertEqual(single_gpu_table.ratio(row), 1.25)
        self.assertIn("| 1.25 | 1.25 | 1.2 | met | 80.0 % | 90.0 % |", single_gpu_table.speed_table([row]))

    def test_says_what_missed_its_target(self):
        self.assertIn("| 1.19 | 1.19 | 1.2 | missed |", single_gpu_table.speed_table([self.row(8.0, graph=9.52)]))

    def test_has_no_ratio_without_pytorch(self):
        self.assertIsNone(single_gpu_table.ratio(self.row(8.0)))
        self.assertIn("|  |  | 1.2 |  | 80.0 %", single_gpu_table.speed_table([self.row(8.0)]))


if __name__ == "__main__":
    unittest.main()
