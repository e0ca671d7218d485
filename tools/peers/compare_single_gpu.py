#!/usr/bin/env python3
"""Times Sluice and PyTorch on one GPU in one run, and prints one table with their ratios.

    tools/bundle/bundle --out=/tmp/sluice //bench:single
    tools/peers/compare_single_gpu.py --bundle=/tmp/sluice --out=single_gpu.json

Sluice's times are those of //bench:single, PyTorch's those of pytorch_stack.py (eager, CUDA graph, torch.compile), each
in a process of its own, one after the other.  Every program has its own time limit, and all together --budget_s: what
does not fit is left out and listed with the reason.  The device memory in use is asked of nvidia-smi while Sluice runs.
Exits 2 with one message on bad flags; 1 where a run of Sluice failed.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).absolute().parent
PASSES = ["forward", "step"]
MODELS = ["test", "gpt2-1hm", "gpt2-1b", "gpt3-1b", "gpt3-13b-single-device"]
# The order in which torch.compile is tried: it may take minutes for each.
COMPILE_MODELS = ["gpt3-13b-single-device", "gpt2-1hm", "test", "gpt3-1b", "gpt2-1b"]
# Forward behind a cached prefix: [model, flags].
PREFIX_RUNS = [
    ["gpt2-1hm", ["--seq_len=128"]],
    ["gpt2-1hm", ["--seq_len=128", "--prefix_len=1024"]],
    ["gpt3-1b", ["--seq_len=512", "--prefix_len=1024"]],
    ["gpt3-6b", ["--num_layers=24", "--seq_len=1024", "--prefix_len=8192"]],
]
# How many times faster than the best of PyTorch, forward and step, bf16.
TARGETS = {
    "test": (3, 3),
    "gpt2-1hm": (1.5, 1.6),
    "gpt2-1b": (1.3, 1.4),
    "gpt3-1b": (1.2, 1.3),
    "gpt3-13b-single-device": (1.06, 1.06),
}


def fail(message):
    print(f"compare_single_gpu: {message}", file=sys.stderr)
    sys.exit(2)


def parse_flags(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=pathlib.Path, help="a folder made by tools/bundle")
    parser.add_argument("--out", required=True, help="file to write all results to, as JSON")
    parser.add_argument("--budget_s", type=float, default=1800, help="seconds for all programs together")
    parser.add_argument("--run_limit_s", type=float, default=120, help="seconds for one program")
    parser.add_argument("--n_steps", type=int, default=20, help="timed passes of each program")
    flags = parser.parse_args(argv)
    if not (flags.bundle / "run").is_file():
        fail(f"bundle '{flags.bundle}' holds no program 'run'")
    return flags


def smi(query):
    command = ["nvidia-smi", "--id=0", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


class MemoryWatch:
    """The most device memory in use while it is open, in MiB, asked for a few times a second."""

    def __enter__(self):
        self.before_mib = self.peak_mib = int(smi("memory.used"))
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.stop.wait(0.3):
            self.peak_mib = max(self.peak_mib, int(smi("memory.used")))

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Comparison:
    def __init__(self, flags):
        self.flags = flags
        self.deadline = time.monotonic() + flags.budget_s
        self.left_out = []
        self.failed = False

    def run(self, command, limit_s):
        """Runs the command and returns (what it wrote to its JSON file, or None; its output)."""
        left_s = self.deadline - time.monotonic()
        name = " ".join(command[1:])
        if left_s < 10:
            self.left_out.append(f"{name}: the {self.flags.budget_s:.0f} s of all programs were spent")
            return None, ""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "out.json"
            command = [part.replace("JSON", str(path)) for part in command]
            try:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      timeout=min(limit_s, left_s), check=False)
            except subprocess.TimeoutExpired as error:
                self.left_out.append(f"{name}: stopped after {error.timeout:.0f} s")
                return None, ""
            if done.returncode != 0:
                last = "; ".join(done.stdout.strip().splitlines()[-3:])
                self.left_out.append(f"{name}: exit code {done.returncode}: {last}")
                return None, done.stdout
            return json.loads(path.read_text()), done.stdout

    def run_sluice(self, model, dtype, which_pass, extra):
        command = [str(self.flags.bundle / "run"), "single", "--device=cuda", f"--model={model}", f"--dtype={dtype}",
                   f"--pass={which_pass}", f"--n_steps={self.flags.n_steps}", "--n_warmup_steps=3",
                   "--json_out=JSON", *extra]
        begin = time.monotonic()
        with MemoryWatch() as memory:
            found, output = self.run(command, self.flags.run_limit_s)
        print(output, flush=True)
        if found is None:
            self.failed = True
            return None
        run = found["benchmarks"][0]
        keys = ["median_ms", "min_ms", "max_ms", "flops_per_s_per_rank", "matmul_flops_per_s_per_rank",
                "share_of_matmul_rate", "rank_bytes", "loss", "timed_allocations"]
        predicted = [line for line in output.splitlines() if line.startswith("memory: ")]
        return {"model": model, "dtype": dtype, "pass": which_pass, "flags": extra, **{key: run[key] for key in keys},
                "prediction": predicted[0], "device_memory_before_mib": memory.before_mib,
                "device_memory_peak_mib": memory.peak_mib, "process_s": round(time.monotonic() - begin, 1),
                "context": found["context"]}

    def run_pytorch(self, model, dtype, which_pass, modes):
        command = [sys.executable, str(HERE / "pytorch_stack.py"), f"--model={model}", "--device=cuda",
                   f"--dtype={dtype}", f"--pass={which_pass}", f"--modes={modes}",
                   f"--iterations={self.flags.n_steps}", "--json=JSON"]
        begin = time.monotonic()
        found, output = self.run(command, self.flags.run_limit_s)
        print(output, flush=True)
        if found is None:
            return []
        return [{"model": model, "dtype": dtype, "pass": which_pass, "mode": result["mode"],
                 **{f"{key}_ms": result[f"{key}_ns"] / 1e6 for key in ("median", "min", "max")},
                 "pytorch": found["context"]["pytorch"], "process_s": round(time.monotonic() - begin, 1)}
                for result in found["results"]]


def print_table(sluice, pytorch):
    modes = ["eager", "graph", "compile"]
    print("| model | dtype | pass | Sluice ms | " + " | ".join(modes) + " | ratio | target | of the matmul ceiling |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for run in sluice:
        if run["flags"]:
            continue
        key = (run["model"], run["dtype"], run["pass"])
        of = {p["mode"]: p["median_ms"] for p in pytorch if (p["model"], p["dtype"], p["pass"]) == key}
        best = min(of.values(), default=None)
        target = TARGETS[run["model"]][PASSES.index(run["pass"])] if run["dtype"] == "bf16" else None
        cells = [*key, f"{run['median_ms']:.3f}", *(f"{of[mode]:.3f}" if mode in of else "" for mode in modes),
                 f"{best / run['median_ms']:.2f}" if best else "", str(target or ""),
                 f"{100 * run['share_of_matmul_rate']:.1f} %"]
        print("| " + " | ".join(cells) + " |")


def main(argv):
    flags = parse_flags(argv)
    comparison = Comparison(flags)
    result = {"date": datetime.date.today().isoformat(), "device": smi("name"), "driver": smi("driver_version"),
              "command": " ".join(sys.argv), "sluice": [], "pytorch": [], "left_out": comparison.left_out}

    def save():
        with open(flags.out + ".partial", "w") as out:
            json.dump(result, out, indent=1)
            out.write("\n")
        os.replace(flags.out + ".partial", flags.out)

    def time_sluice(*arguments):
        found = comparison.run_sluice(*arguments)
        result["sluice"] += [found] if found else []
        save()

    for model in MODELS:
        for which_pass in PASSES:
            time_sluice(model, "bf16", which_pass, [])
            result["pytorch"] += comparison.run_pytorch(model, "bf16", which_pass, "eager,graph")
    for which_pass in PASSES:
        time_sluice("gpt3-1b", "f32", which_pass, [])
    for model, extra in PREFIX_RUNS:
        time_sluice(model, "bf16", "forward", extra)
    for model in COMPILE_MODELS:
        for which_pass in PASSES:
            result["pytorch"] += comparison.run_pytorch(model, "bf16", which_pass, "compile")
            save()
    save()
    print_table(result["sluice"], result["pytorch"])
    for what in comparison.left_out:
        print(f"left out: {what}")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
