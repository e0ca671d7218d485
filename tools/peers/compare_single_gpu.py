#!/usr/bin/env python3
"""Times Sluice and PyTorch on one GPU in one run, and writes one table with their ratios.

    tools/bundle/bundle --out=/tmp/sluice //bench:single //bench/kernels:causal_attention
    tools/peers/compare_single_gpu.py --bundle=/tmp/sluice --out=single_gpu.json --markdown=single_gpu.md

Forward and step of five models in bf16, PyTorch eager, as a CUDA graph and by torch.compile; gpt3-1b in float32; steps
with float32 gradients (PyTorch's have the type of the weights, and so have Sluice's elsewhere); forward behind a cached
prefix; attention alone, beside PyTorch's flash and cuDNN's; of each the device memory predicted and used, and clocks,
power and what held the clocks down.

PyTorch stays loaded in one process (pytorch_stack.py --serve). The sides take turns, --rounds times each. In a round
each pass is timed for --timed_s seconds, just after --warmup_s seconds of the same passes: the clocks of a GPU follow
its heat and power, which are then of their own making on both sides; clocks and power of each round are recorded.
Sluice's ceilings come after its passes, in its first round. Modes of PyTorch that are far from its fastest at a first
short look are not timed again. All together take at most --budget_s: what does not fit is left out and listed with the
reason. Exits 2 with one message on bad flags; 1 where a run of Sluice failed.
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
ATTENTION_WARMUP_S = 0.5
LEAST_PASSES = 3
LOOK_S = 0.1
CONTENDER = 1.2  # times the fastest mode's median, by a look of LOOK_S after as long


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
    parser.add_argument("--rounds", type=int, default=2, help="of each side, by turns")
    parser.add_argument("--warmup_s", type=float, default=1, help="seconds of passes just before those of a round")
    parser.add_argument("--timed_s", type=float, default=1, help="seconds of passes that are timed in a round")
    parser.add_argument("--modes", default="eager,graph,compile", help="of PyTorch; also autotune, minutes a row")
    parser.add_argument("--models", default=",".join(MODELS), help="of the main rows")
    flags = parser.parse_args(argv)
    if not (flags.bundle / "run").is_file():
        fail(f"bundle '{flags.bundle}' holds no program 'run'")
    if flags.rounds < 1:
        fail(f"rounds {flags.rounds} is not allowed: it must be 1 or more")
    for name in ("warmup_s", "timed_s"):
        if not 0 <= getattr(flags, name) <= 3600:
            fail(f"{name} {getattr(flags, name)} is not allowed: it must be from 0 to 3600")
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
    return main + ["attention"] + f32 + prefix + f32_gradients


class OutOfTime(Exception):
    pass


def summary_of(times_ms):
    return {"median_ms": statistics.median(times_ms), "min_ms": min(times_ms), "max_ms": max(times_ms),
            "num_passes": len(times_ms)}


def sluice_summary(rounds):
    """All rounds of a pass together, and each; ceilings and memory are of the first. None where there is no round."""
    if not rounds:
        return None
    first = rounds[0]["counters"]
    times = summary_of([time_ms for timed in rounds for time_ms in timed["times_ms"]])
    faster = first["median_ms"] / times["median_ms"]
    rates = {key: first[key] * faster for key in ("flops_per_s_per_rank", "tokens_per_s", "share_of_matmul_rate",
                                                  "share_of_sustained_matmul_rate") if key in first}
    by_round = [{**summary_of(timed["times_ms"]), "process_s": timed["about"]["process_s"],
                 "warmup_passes_s": timed["counters"]["warmup_passes_s"],
                 "conditions": single_gpu_table.conditions_of(timed["counters"]),
                 "parts_s": {key[len("part_"):-len("_s")]: value for key, value in timed["counters"].items()
                             if key.startswith("part_")}} for timed in rounds]
    return {**first, **times, **rates, **rounds[0]["about"], "rounds": by_round}


class PyTorch:
    """The process that has PyTorch loaded; made anew after it had to be stopped."""

    def __init__(self):
        self.process = None
        self.about = None

    def start(self, limit_s):
        command = [sys.executable, str(HERE / "pytorch_stack.py"), "--serve", "--device=cuda"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        errors="replace", start_new_session=True)
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
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                       errors="replace")
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
                    made.setdefault(which_pass, {})[mode] = {**found, "rounds": []}
        return made

    def time_mode(self, which_pass, mode, warmup_s, timed_s):
        return self.pytorch.ask({"time": mode, "of": which_pass, "iterations": LEAST_PASSES, "warmup_s": warmup_s,
                                 "timed_s": timed_s}, self.limit_s())

    def contenders(self, made):
        """{pass: its modes that may be the fastest}. What a look says of the others is all that is known of them."""
        found = {}
        for which_pass, modes in made.items():
            looks = {mode: self.time_mode(which_pass, mode, LOOK_S, LOOK_S) for mode in modes}
            fastest_ns = min(look["median_ns"] for look in looks.values())
            found[which_pass] = [mode for mode, look in looks.items() if look["median_ns"] <= CONTENDER * fastest_ns]
            for mode, look in looks.items():
                if mode not in found[which_pass]:
                    made[which_pass][mode]["rounds"] = [look]
        return found

    def time_pytorch(self, made, contenders):
        for which_pass, modes in contenders.items():
            for mode in modes:
                timed = self.time_mode(which_pass, mode, self.flags.warmup_s, self.flags.timed_s)
                made[which_pass][mode]["rounds"].append(timed)

    def pytorch_summary(self, found):
        """All rounds of a mode together, and each."""
        rounds = []
        for timed in found["rounds"]:
            window = (timed["begin_monotonic_s"], timed["end_monotonic_s"])
            rounds.append({**summary_of([time_ns / 1e6 for time_ns in timed["times_ns"]]),
                           "warmup_passes_s": timed["warmup_passes_s"], "conditions": self.sampler.conditions(window)})
        times_ms = [time_ns / 1e6 for timed in found["rounds"] for time_ns in timed["times_ns"]]
        return {**summary_of(times_ms), "setup_s": found["setup_s"], "largest_error": found["largest_error"],
                "rounds": rounds}

    def run_sluice(self, job, is_first):
        """{pass: a round of it}, all of one process."""
        both = len(job["passes"]) > 1
        command = [str(self.flags.bundle / "run"), "single", "--device=cuda", f"--model={job['model']}",
                   f"--dtype={job['dtype']}", f"--grad_dtype={job['grad_dtype']}",
                   f"--pass={'both' if both else job['passes'][0]}", f"--n_steps={LEAST_PASSES}",
                   f"--timed_s={self.flags.timed_s}", f"--warmup_s={self.flags.warmup_s}",
                   "--json_out=JSON", *(f"--{key}={value}" for key, value in job["sizes"].items())]
        if not is_first:
            command.append("--ceilings=none")
        begin_s = time.monotonic()
        written, pid = self.run(command)
        about = {"process_s": round(time.monotonic() - begin_s, 1), "command": " ".join(["run"] + command[1:]),
                 "context": {key: written["context"][key] for key in ("commit", "dirty", "attention", "conditions")}}
        found = {}
        for run in written["benchmarks"]:
            which_pass = run["name"].split("/pass:")[1].split("/")[0]
            counters = {key: value for key, value in run.items()
                        if isinstance(value, float) and key not in ("real_time", "cpu_time")}
            timed = found.setdefault(which_pass, {"counters": counters, "about": {**about, "nvml_peak_mib": None},
                                                  "times_ms": []})
            timed["times_ms"].append(run["real_time"])
        # What was seen from outside is of the pass that needs most.
        largest = max(found.values(), key=lambda timed: timed["counters"]["predicted_device_bytes"])
        largest["about"]["nvml_peak_mib"] = self.sampler.peak_process_mib(pid)
        return found

    def compare(self, job):
        """A row for each pass; none where no time is left."""
        what = f"{single_gpu_table.name_of(job)} {job['dtype']}"
        if self.attempt(what, self.limit_s) is None:
            return []
        begin_s = time.monotonic()
        made = self.make_pytorch(job) if job["modes"] else {}
        contenders = (self.attempt(f"PyTorch {what}", lambda: self.contenders(made)) or {}) if made else {}
        sluice = {}
        for _ in range(self.flags.rounds):
            if contenders and self.pytorch.process is not None:  # one that had to be stopped holds nothing any more
                self.attempt(f"PyTorch {what}", lambda: self.time_pytorch(made, contenders))
            found = self.attempt(f"Sluice {what}", lambda: self.run_sluice(job, is_first=not sluice)) or {}
            for which_pass, timed in found.items():
                sluice.setdefault(which_pass, []).append(timed)
            if not found:
                break
        job_s = round(time.monotonic() - begin_s, 1)
        print(f"{what}: {job_s} s", flush=True)
        rows = []
        for which_pass in job["passes"]:
            pytorch = {mode: self.pytorch_summary(found) for mode, found in made.get(which_pass, {}).items()
                       if found["rounds"]}
            rows.append({**{key: job[key] for key in ("group", "model", "dtype", "grad_dtype", "flags")},
                         "pass": which_pass, "sluice": sluice_summary(sluice.get(which_pass)), "pytorch": pytorch,
                         "job_s": job_s})
        return rows

    def pytorch_attention(self):
        """{(head_dim, seq_len, pass): {implementation: ms}}."""
        written, _ = self.run([sys.executable, str(HERE / "pytorch_attention.py"), f"--shapes={ATTENTION_SHAPES}",
                               f"--warmup_s={ATTENTION_WARMUP_S}", "--json=JSON"])
        found = {}
        for result in written["results"]:
            for which_pass in ("forward", "backward"):
                key = (result["head_dim"], result["seq_len"], which_pass)
                found.setdefault(key, {})[result["implementation"]] = result[f"{which_pass}_ms"]
        return found

    def sluice_attention(self, model, slice_lens, prefix_len):
        command = [str(self.flags.bundle / "run"), "causal_attention", "--device=cuda", "--dtype=bf16",
                   f"--model={model}", f"--slice_lens={','.join(map(str, slice_lens))}", f"--prefix_lens={prefix_len}",
                   f"--warmup_s={ATTENTION_WARMUP_S}", "--json_out=JSON"]
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
    with open(path + ".partial", "w", encoding="utf-8") as out:
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
                  "num_rounds": flags.rounds, "warmup_s": flags.warmup_s, "timed_s": flags.timed_s,
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
    # A character that the terminal's encoding lacks is written as an escape.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
