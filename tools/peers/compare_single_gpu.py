#!/usr/bin/env python3
"""Times Sluice and PyTorch on one GPU in one run, and writes one table with their ratios.

    tools/bundle/bundle --out=/tmp/sluice //bench:single //bench/kernels:causal_attention
    tools/peers/compare_single_gpu.py --bundle=/tmp/sluice --out=single_gpu.json --markdown=single_gpu.md

Forward and step of five models in bf16, PyTorch eager, as a CUDA graph and by torch.compile; gpt3-1b in float32; steps
with float32 gradients (PyTorch's have the type of the weights, and so have Sluice's elsewhere); forward behind a cached
prefix; attention alone, beside PyTorch's flash and cuDNN's; of each the device memory predicted and used, and clocks,
power and what held the clocks down.

PyTorch stays loaded in one process (pytorch_stack.py --serve). For each model its modes are made and timed, then
Sluice's program runs, then PyTorch is timed again: so both see the same clocks. All together take at most --budget_s:
what does not fit is left out and listed with the reason. Exits 2 with one message on bad flags; 1 where a run of Sluice
failed.
"""

import argparse
import datetime
import json
import os
import pathlib
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import gpu_conditions
import single_gpu_table

HERE = pathlib.Path(__file__).absolute().parent
PASSES = ["forward", "step"]
MODELS = ["test", "gpt2-1hm", "gpt2-1b", "gpt3-1b", "gpt3-13b-single-device"]
PREFIX = [("gpt2-1hm", {"seq_len": 128}), ("gpt2-1hm", {"seq_len": 128, "prefix_len": 1024}),
               ("gpt3-1b", {"seq_len": 512, "prefix_len": 1024}),
               ("gpt3-6b", {"num_layers": 8, "seq_len": 1024, "prefix_len": 8192})]
# (model, slice_lens, prefix_len): 16 heads of 128 and of 64.
ATTENTION = [("gpt3-1b", [2048, 8192, 16384], 0), ("gpt3-1b", [2048], 14336), ("gpt2-3hm", [8192, 16384], 0)]
ATTENTION_SHAPES = "128x2048,128x8192,128x16384,64x8192,64x16384"
LEAST_PASSES = 20
LONG_ROUND_S, FEWEST_PASSES = 2.5, 5  # where even LEAST_PASSES would take longer than that


def fail(message):
    print(f"compare_single_gpu: {message}", file=sys.stderr)
    sys.exit(2)


def parse_flags(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=pathlib.Path, help="a folder made by tools/bundle")
    parser.add_argument("--out", required=True, help="file to write all results to, as JSON")
    parser.add_argument("--markdown", help="file to write the tables to")
    parser.add_argument("--budget_s", type=float, default=1200, help="seconds for everything together")
    parser.add_argument("--run_limit_s", type=float, default=120, help="seconds for one program, or to make one mode")
    parser.add_argument("--timed_s", type=float, default=0.3, help="about how long the passes of one row take")
    parser.add_argument("--modes", default="eager,graph,compile", help="of PyTorch; also autotune, minutes a row")
    parser.add_argument("--models", default=",".join(MODELS), help="of the main rows")
    flags = parser.parse_args(argv)
    if not (flags.bundle / "run").is_file():
        fail(f"bundle '{flags.bundle}' holds no program 'run'")
    flags.modes = flags.modes.split(",")
    flags.models = flags.models.split(",")
    for name in flags.modes:
        if name not in single_gpu_table.MODES:
            fail(f"mode '{name}' is not one of {', '.join(single_gpu_table.MODES)}")
    for name in flags.models:
        if name not in MODELS:
            fail(f"model '{name}' is not one of {', '.join(MODELS)}")
    return flags


def jobs_of(flags):
    """What is timed together, the most wanted first. `sizes` are those in place of the model's own."""
    def job(group, model, dtype, grad_dtype, passes, modes, sizes=None):
        return {"group": group, "model": model, "dtype": dtype, "grad_dtype": grad_dtype, "passes": passes,
                "modes": modes, "sizes": sizes or {},
                "flags": [f"--{key}={value}" for key, value in (sizes or {}).items()]}

    main = [job("main", model, "bf16", "bf16", PASSES, flags.modes) for model in flags.models]
    f32 = [job("f32", "gpt3-1b", "f32", "f32", PASSES, ["graph"])]
    prefix = [job("prefix", model, "bf16", "bf16", ["forward"], ["eager", "graph"], sizes)
              for model, sizes in PREFIX]
    f32_gradients = [{**job("grad_dtype", model, "bf16", "f32", ["step"], []), "flags": ["--grad_dtype=f32"]}
                     for model in flags.models]
    return main + f32 + ["attention"] + prefix + f32_gradients


class OutOfTime(Exception):
    pass


class PyTorch:
    """The process that has PyTorch loaded; made anew after it had to be stopped."""

    def __init__(self):
        self.process = None
        self.about = None

    def start(self, limit_s):
        command = [sys.executable, str(HERE / "pytorch_stack.py"), "--serve", "--device=cuda"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        self.answers = queue.Queue()
        threading.Thread(target=self.read, args=(self.process.stdout, self.answers), daemon=True).start()
        self.about = self.receive(limit_s)

    @staticmethod
    def read(stream, answers):
        for line in stream:
            answers.put(json.loads(line))
        answers.put(None)

    def receive(self, limit_s):
        try:
            answer = self.answers.get(timeout=limit_s)
        except queue.Empty:
            self.stop()
            raise OutOfTime(f"stopped after {limit_s:.0f} s") from None
        if answer is None:
            self.stop()
            raise RuntimeError("its process has ended; what it said is above")
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["ok"]

    def ask(self, request, limit_s):
        if self.process is None:
            self.start(limit_s)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # receive says so
        return self.receive(limit_s)

    def stop(self):
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)  # with the compilers that it started
            self.process.wait()
            self.process = None


class Comparison:
    def __init__(self, flags, sampler):
        self.flags, self.sampler = flags, sampler
        self.deadline = time.monotonic() + flags.budget_s
        self.pytorch = PyTorch()
        self.left_out = []
        self.failed = False

    def limit_s(self):
        """Seconds that the next program may take."""
        left_s = self.deadline - time.monotonic()
        if left_s < 5:
            raise OutOfTime(f"the {self.flags.budget_s:.0f} s of everything were spent")
        return min(left_s, self.flags.run_limit_s)

    def run(self, command):
        """Runs the command, in which JSON stands for a file, and returns (what it wrote there, its process id)."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "out.json"
            command = [part.replace("JSON", str(path)) for part in command]
            limit_s = self.limit_s()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                output, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise OutOfTime(f"stopped after {limit_s:.0f} s") from None
            print(output, flush=True)
            if process.returncode != 0:
                raise RuntimeError(f"exit code {process.returncode}: {'; '.join(output.strip().splitlines()[-3:])}")
            return json.loads(path.read_text()), process.pid

    def attempt(self, what, action):
        """What action returns; None where it failed, which is then listed."""
        try:
            return action()
        except (OutOfTime, RuntimeError) as error:
            if isinstance(error, RuntimeError) and what.startswith("Sluice"):
                self.failed = True
            self.left_out.append(f"{what}: {error}")
            print(f"left out: {self.left_out[-1]}", flush=True)
            return None

    def make_pytorch(self, job):
        """{pass: {mode: what is known of it}} of what could be made."""
        made = {}
        self.attempt("PyTorch", lambda: self.pytorch.ask({"forget": True}, self.limit_s()))
        for which_pass in job["passes"]:
            what = f"PyTorch {single_gpu_table.name_of(job)} {job['dtype']} {which_pass}"
            case = {"model": job["model"], "dtype": job["dtype"], "which_pass": which_pass, **job["sizes"]}
            request = {"prepare": case, "as": which_pass}
            if self.attempt(what, lambda: self.pytorch.ask(request, self.limit_s())) is None:
                continue
            for mode in job["modes"]:
                request = {"mode": mode, "of": which_pass}
                found = self.attempt(f"{what} {mode}", lambda: self.pytorch.ask(request, self.limit_s()))
                if self.pytorch.process is None:  # it had to be stopped, and what it held is gone
                    return {}
                if found is not None:
                    made.setdefault(which_pass, {})[mode] = {**found, "times_ns": [], "windows": []}
        return made

    def ask_time(self, which_pass, mode, num_passes):
        return self.pytorch.ask({"time": mode, "of": which_pass, "iterations": num_passes}, self.limit_s())

    def num_passes(self, made):
        """Enough for --timed_s of the first pass's fastest mode, and not so many that a round takes long."""
        best_s = {which_pass: min(self.ask_time(which_pass, mode, 3)["min_ns"] for mode in modes) * 1e-9
                  for which_pass, modes in made.items()}
        enough = self.flags.timed_s / next(iter(best_s.values()))
        return round(min(max(enough, LEAST_PASSES), max(LONG_ROUND_S / sum(best_s.values()), FEWEST_PASSES)))

    def time_pytorch(self, made, num_passes):
        for which_pass, modes in made.items():
            for mode, found in modes.items():
                # Where passes are short and so many, eager waits for the host and is not the fastest.
                most = LEAST_PASSES if mode == "eager" else num_passes
                timed = self.ask_time(which_pass, mode, min(num_passes, most))
                found["times_ns"] += timed["times_ns"]
                found["windows"].append((timed["begin_monotonic_s"], timed["end_monotonic_s"]))

    def summary(self, found):
        times_ms = [time_ns / 1e6 for time_ns in found["times_ns"]]
        return {"median_ms": statistics.median(times_ms), "min_ms": min(times_ms), "max_ms": max(times_ms),
                "num_passes": len(times_ms), "setup_s": found["setup_s"], "largest_error": found["largest_error"],
                "conditions": self.sampler.conditions(*found["windows"])}

    def run_sluice(self, job, num_passes):
        """{pass: its numbers}, all of one process."""
        both = len(job["passes"]) > 1
        command = [str(self.flags.bundle / "run"), "single", "--device=cuda", f"--model={job['model']}",
                   f"--dtype={job['dtype']}", f"--grad_dtype={job['grad_dtype']}",
                   f"--pass={'both' if both else job['passes'][0]}", f"--n_steps={num_passes}", "--n_warmup_steps=3",
                   "--json_out=JSON", *(f"--{key}={value}" for key, value in job["sizes"].items())]
        begin_s = time.monotonic()
        written, pid = self.run(command)
        about = {"num_passes": num_passes, "process_s": round(time.monotonic() - begin_s, 1),
                 "command": " ".join(["run"] + command[1:]),
                 "context": {key: written["context"][key] for key in ("commit", "dirty", "attention", "conditions")}}
        found = {}
        for run in written["benchmarks"]:
            which_pass = run["name"].split("/pass:")[1].split("/")[0]
            counters = {key: value for key, value in run.items()
                        if isinstance(value, float) and key not in ("real_time", "cpu_time")}
            found[which_pass] = {**counters, **about, "nvml_peak_mib": None}
        # What was seen from outside is of the pass that needs most.
        largest = max(found.values(), key=lambda counters: counters["predicted_device_bytes"])
        largest["nvml_peak_mib"] = self.sampler.peak_process_mib(pid)
        return found

    def compare(self, job):
        """A row for each pass; none where no time is left."""
        what = f"{single_gpu_table.name_of(job)} {job['dtype']}"
        if self.attempt(what, self.limit_s) is None:
            return []
        made = self.make_pytorch(job) if job["modes"] else {}
        num_passes = LEAST_PASSES
        if made:
            num_passes = self.attempt(f"PyTorch {what}", lambda: self.num_passes(made)) or LEAST_PASSES
            self.attempt(f"PyTorch {what}", lambda: self.time_pytorch(made, num_passes))
        sluice = self.attempt(f"Sluice {what}", lambda: self.run_sluice(job, num_passes)) or {}
        if made:
            self.attempt(f"PyTorch {what}", lambda: self.time_pytorch(made, num_passes))
        rows = []
        for which_pass in job["passes"]:
            pytorch = {mode: self.summary(found) for mode, found in made.get(which_pass, {}).items()
                       if found["times_ns"]}
            rows.append({**{key: job[key] for key in ("group", "model", "dtype", "grad_dtype", "flags")},
                         "pass": which_pass, "sluice": sluice.get(which_pass), "pytorch": pytorch})
        return rows

    def pytorch_attention(self):
        """{(head_dim, seq_len, pass): {implementation: ms}}."""
        written, _ = self.run([sys.executable, str(HERE / "pytorch_attention.py"), f"--shapes={ATTENTION_SHAPES}",
                               "--json=JSON"])
        found = {}
        for result in written["results"]:
            for which_pass in ("forward", "backward"):
                key = (result["head_dim"], result["seq_len"], which_pass)
                found.setdefault(key, {})[result["implementation"]] = result[f"{which_pass}_ms"]
        return found

    def sluice_attention(self, model, slice_lens, prefix_len):
        command = [str(self.flags.bundle / "run"), "causal_attention", "--device=cuda", "--dtype=bf16",
                   f"--model={model}", f"--slice_lens={','.join(map(str, slice_lens))}", f"--prefix_lens={prefix_len}",
                   "--json_out=JSON"]
        rows = {}
        for run in self.run(command)[0]["benchmarks"]:
            parts = dict(part.split(":", 1) for part in run["name"].split("/") if ":" in part)
            rows[run["name"]] = {
                "head_dim": int(parts["head_dim"]), "prefix_len": int(parts["prefix_len"]),
                "slice_len": int(parts["slice_len"]), "pass": parts["kernel"].rsplit("_", 1)[-1],
                "implementation": parts.get("attention", "default"),
                **{key: run[key] for key in ("median_ms", "min_ms", "max_ms", "flops_per_s")}}
        return list(rows.values())

    def attention(self):
        beside = self.attempt("PyTorch attention", self.pytorch_attention) or {}
        rows = []
        for model, slice_lens, prefix_len in ATTENTION:
            found = self.attempt(f"Sluice attention {model} {slice_lens} behind {prefix_len}",
                                 lambda: self.sluice_attention(model, slice_lens, prefix_len))
            for row in found or []:
                key = (row["head_dim"], row["slice_len"], row["pass"])
                rows.append({**row, "pytorch": beside.get(key, {}) if row["prefix_len"] == 0 else {}})
        return rows


def write(path, text):
    with open(path + ".partial", "w") as out:
        out.write(text)
    os.replace(path + ".partial", path)


def main(argv):
    flags = parse_flags(argv)
    with gpu_conditions.GpuSampler() as sampler:
        if sampler.nvml is None:
            fail(f"there is no GPU to time: {sampler.source}")
        comparison = Comparison(flags, sampler)
        result = {"date": datetime.date.today().isoformat(), "device": sampler.nvml.text("nvmlDeviceGetName"),
                  "driver": sampler.nvml.driver(), "pytorch": None, "commit": None, "command": " ".join(sys.argv),
                  "rows": [], "attention": [], "left_out": comparison.left_out}

        def save():
            result["pytorch"] = (comparison.pytorch.about or {}).get("pytorch")
            for row in result["rows"]:
                if row["sluice"] is not None:
                    context = row["sluice"]["context"]
                    result["commit"] = context["commit"] + (" with local changes" if context["dirty"] == "true" else "")
            write(flags.out, json.dumps(result, indent=1) + "\n")
            if flags.markdown:
                write(flags.markdown, single_gpu_table.render(result))

        for job in jobs_of(flags):
            if job == "attention":
                result["attention"] = comparison.attention()
            else:
                result["rows"] += comparison.compare(job)
            save()
        comparison.pytorch.stop()
        save()
    print(single_gpu_table.render(result))
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
