"""Tests of compare_single_gpu.py on a made-up GPU, with a made-up program in place of Sluice's and without PyTorch, and
of the tables made of its results."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["TEST_SRCDIR"]) / "sluice"
SCRIPT = ROOT / "tools/peers/compare_single_gpu.py"
sys.path.insert(0, str(SCRIPT.parent))  # as where it is started from there

import compare_single_gpu
import single_gpu_table

# Answers as //bench:single and //bench/kernels:causal_attention do, with numbers of its own.
FAKE_PROGRAM = """#!{python}
import json, sys
flags = dict(flag[2:].split("=", 1) for flag in sys.argv[2:])
if sys.argv[1] == "single":
    if flags["model"] == "gpt3-6b":
        print("error: out of memory on cuda: weights needs 1.0 PiB")
        sys.exit(2)
    passes = ["forward", "step"] if flags["pass"] == "both" else [flags["pass"]]
    rows = [{{"name": f"scheme:single/pass:{{p}}", "real_time": t, "median_ms": 2.0, "min_ms": 1.5, "max_ms": 3.0,
             "warmup_passes_s": 1.25, "part_check_s": 0.5,
             "share_of_matmul_rate": 0.8, "share_of_sustained_matmul_rate": 0.9, "matmul_flops_per_s_per_rank": 8e14,
             "sustained_matmul_flops_per_s_per_rank": 7e14, "predicted_device_bytes": 100.0 * 2**20,
             "peak_device_bytes": 104.0 * 2**20, "num_condition_samples": 5.0, "median_sm_clock_mhz": 1755.0,
             "clocks_event_share_sw_power_cap": 0.5}} for p in passes for t in (1.5, 2.0, 3.0)]
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
        self.assertEqual([timed["num_passes"] for timed in timed[0]["sluice"]["rounds"]], [3, 3])
        self.assertEqual(timed[0]["sluice"]["rounds"][1]["conditions"]["median_sm_clock_mhz"], 1755)
        self.assertEqual(timed[0]["sluice"]["rounds"][1]["parts_s"], {"check": 0.5})
        self.assertEqual(len(result["attention"]), 12)
        self.assertTrue(any("out of memory on cuda" in what for what in result["left_out"]), result["left_out"])
        self.assertTrue(any("PyTorch test bf16 forward" in what for what in result["left_out"]), result["left_out"])
        self.assertEqual(markdown.read_text(), single_gpu_table.render(result))


class FakeTurns:
    """In place of both sides and of the GPU: writes down who has its turn."""

    def __init__(self, mode_ms, sluice_ms):
        self.mode_ms, self.sluice_ms = mode_ms, iter(sluice_ms)
        self.turns = []
        self.process = "one that lives"

    # As PyTorch does.
    def ask(self, request, _):
        if "mode" in request:
            return {"setup_s": 0.5, "largest_error": 0.0}
        if "time" in request:
            self.turns.append((request["time"], request["warmup_s"], request["timed_s"]))
            time_ns = self.mode_ms[request["time"]] * 1e6
            return {"times_ns": [time_ns], "median_ns": time_ns, "warmup_passes_s": request["warmup_s"],
                    "begin_monotonic_s": 0, "end_monotonic_s": 1}
        return {}

    # As Comparison.run does.
    def run(self, command):
        has_ceilings = "--ceilings=none" not in command
        self.turns.append(("Sluice", "with ceilings" if has_ceilings else "without"))
        self.command = command
        times_ms = next(self.sluice_ms)
        context = {"commit": "0123abc", "dirty": "false", "attention": "hopper", "conditions": "NVML"}
        counters = {"median_ms": sorted(times_ms)[1], "predicted_device_bytes": 1.0, "warmup_passes_s": 1.0}
        if has_ceilings:
            counters["share_of_matmul_rate"] = 0.6
        rows = [{"name": "scheme:single/pass:forward", "real_time": time_ms, **counters} for time_ms in times_ms]
        return {"context": context, "benchmarks": rows}, 1

    # As a sampler does.
    def conditions(self, window):
        return {"num_condition_samples": 1, "window": window}

    def peak_process_mib(self, _):
        return None


class TurnsTest(unittest.TestCase):
    def rows(self, turns, **given):
        flags = argparse.Namespace(**{"budget_s": 100, "run_limit_s": 10, "rounds": 2, "warmup_s": 1.0, "timed_s": 2.0,
                                      "bundle": pathlib.Path("bundle"), **given})
        comparison = compare_single_gpu.Comparison(flags, turns)
        comparison.pytorch, comparison.run = turns, turns.run
        job = {"group": "main", "model": "test", "dtype": "bf16", "grad_dtype": "bf16", "passes": ["forward"],
               "modes": list(turns.mode_ms), "sizes": {}, "flags": []}
        rows = comparison.compare(job)
        self.assertEqual(comparison.left_out, [])
        return rows

    def test_both_sides_warm_themselves_and_take_turns(self):
        turns = FakeTurns({"graph": 4.5, "compile": 4.0}, [[3.0, 2.0, 1.0], [2.5, 1.5, 9.0]])
        (row,) = self.rows(turns)
        round_of_pytorch = [("graph", 1.0, 2.0), ("compile", 1.0, 2.0)]
        self.assertEqual(turns.turns[2:], round_of_pytorch + [("Sluice", "with ceilings")] +
                         round_of_pytorch + [("Sluice", "without")])
        self.assertIn("--warmup_s=1.0", turns.command)
        self.assertIn("--timed_s=2.0", turns.command)
        self.assertEqual([timed["median_ms"] for timed in row["sluice"]["rounds"]], [2.0, 2.5])
        self.assertEqual([row["sluice"][key] for key in ("median_ms", "min_ms", "max_ms", "num_passes")],
                         [2.25, 1.0, 9.0, 6])
        self.assertAlmostEqual(row["sluice"]["share_of_matmul_rate"], 0.6 * 2.0 / 2.25)
        self.assertEqual(row["pytorch"]["compile"]["num_passes"], 2)
        self.assertEqual([timed["conditions"]["num_condition_samples"] for timed in row["pytorch"]["graph"]["rounds"]],
                         [1, 1])

    def test_a_mode_far_from_the_fastest_has_its_first_look_alone(self):
        turns = FakeTurns({"eager": 5.3, "compile": 4.0}, [[1.0, 1.0, 1.0]] * 3)
        (row,) = self.rows(turns, rounds=3)
        self.assertEqual([mode for mode, *_ in turns.turns],
                         ["eager", "compile"] + ["compile", "Sluice"] * 3)
        self.assertEqual(len(row["pytorch"]["eager"]["rounds"]), 1)
        self.assertEqual(row["pytorch"]["eager"]["median_ms"], 5.3)
        self.assertEqual(len(row["pytorch"]["compile"]["rounds"]), 3)


class TableTest(unittest.TestCase):
    def row(self, median_ms, **pytorch_ms):
        times = {mode: {"median_ms": ms, "min_ms": ms / 2, "rounds": []} for mode, ms in pytorch_ms.items()}
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

    def test_shows_the_clocks_of_each_round_in_the_order_of_the_turns(self):
        row = self.row(8.0, graph=10.0)
        rounds = [{"median_ms": float(i), "conditions": {"num_condition_samples": 9, "median_sm_clock_mhz": 1700 + i}}
                  for i in range(4)]
        row["pytorch"]["graph"]["rounds"], row["sluice"]["rounds"] = rounds[0:4:2], rounds[1:4:2]
        row["sluice"].update({"sustained_matmul_num_condition_samples": 5, "sustained_matmul_median_sm_clock_mhz": 1500,
                              "sustained_matmul_flops_per_s_per_rank": 7e14})
        lines = single_gpu_table.conditions_table([row]).splitlines()[2:]
        cells = [[cell.strip() for cell in line.split("|")[4:7]] for line in lines]
        self.assertEqual(cells, [["PyTorch graph", "0.000", "1700"], ["Sluice", "1.000", "1701"],
                                 ["PyTorch graph", "2.000", "1702"], ["Sluice", "3.000", "1703"],
                                 ["sustained ceiling", "", "1500"]])

    def test_has_no_ratio_without_pytorch(self):
        self.assertIsNone(single_gpu_table.ratio(self.row(8.0)))
        self.assertIn("|  |  | 1.2 |  | 80.0 %", single_gpu_table.speed_table([self.row(8.0)]))


if __name__ == "__main__":
    unittest.main()
