#!/usr/bin/env python3
"""Times PyTorch on the same stack of layers as Sluice, so that the two can stand beside each other in one run.

    tools/peers/pytorch_stack.py --model=test --device=cpu --threads=2 --dtype=f32 --pass=step
    tools/peers/pytorch_stack.py --model=gpt3-1b,test --device=cuda --dtype=bf16 --pass=forward,step --json=out.json

The model is the one of docs/model.md: pre-norm decoder layers, heads interleaved as in_proj writes them, causal
attention, ReLU, loss mean(z). `step` is forward and backward down to the input; gradients start absent in each step, so
that PyTorch writes them instead of adding to old ones, and have the type of what they are gradients of.

Each way to run PyTorch is a row: `eager`; on cuda also `graph` (the eager calls captured once in a CUDA graph and
replayed), `compile` (torch.compile of each layer, whose code all layers share, captured in a CUDA graph too) and
`autotune` (the same in mode max-autotune-no-cudagraphs: minutes, and so only by name). Each must come as near as eager,
by a factor of two, to what the same layers give in float32. Behind a prefix (`--prefix_len`) keys and values are put
into a cache, and attention is PyTorch's with a lower-right causal bias. Times are of one pass: from events on cuda,
from a monotonic clock on cpu. Just before the timed passes come others, for --warmup_s seconds: what the clocks and the
power of a GPU are by then is these passes' own doing.

With --serve it times what it is asked on its standard input, a line of JSON for each request and answer:
compare_single_gpu.py uses that to have both sides take turns while PyTorch is loaded once.

Works with PyTorch 1.13 and newer. Exits 2 with one message on bad flags or a missing device.
"""

import argparse
import contextlib
import copy
import dataclasses
import gc
import json
import math
import os
import pathlib
import platform
import re
import statistics
import sys
import time

MODEL_TABLE = pathlib.Path(__file__).absolute().parents[2] / "core/model/model_config.cc"
DTYPES = {"cpu": ["f32", "f64", "bf16"], "cuda": ["f32", "tf32", "bf16", "fp16"]}
MODES = {"cpu": ["eager"], "cuda": ["eager", "graph", "compile", "autotune"]}
DEFAULT_MODES = {"cpu": "eager", "cuda": "eager,graph,compile"}
PASSES = ["forward", "step"]
COMPILE_MODES = {"compile": None, "autotune": "max-autotune-no-cudagraphs"}
FP16_LOSS_SCALE = 128.0
BATCH_S = 0.05
# What the results of a mode are held against. A tensor's relative error may be twice that of eager, and this much more:
# one rounding; where eager is its own reference, what other orders of sums of some thousand terms make of it.
REFERENCE_DTYPES = {"f32": "f32", "f64": "f64", "tf32": "f32", "bf16": "f32", "fp16": "f32"}
ALLOWED_ERRORS = {"f32": 2**-14, "f64": 2**-43, "tf32": 2**-11, "bf16": 2**-8, "fp16": 2**-11}


class Refused(Exception):
    """Bad input: the message says what, and what is allowed."""


def fail(message):
    print(f"pytorch_stack: {message}", file=sys.stderr)
    sys.exit(2)


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed: one pass of one model."""

    model: str
    num_layers: int
    hidden_size: int
    seq_len: int
    num_heads: int
    batch_size: int
    prefix_len: int
    dtype: str
    which_pass: str


def named_models():
    """{name: (num_layers, hidden_size, seq_len, num_heads)}, read from the one table there is."""
    rows = re.findall(r'\{"([\w.-]+)", (\d+), (\d+), (\d+), (\d+)\},', MODEL_TABLE.read_text())
    return {name: tuple(map(int, numbers)) for name, *numbers in rows}


def check_choice(what, value, allowed, where=""):
    if value not in allowed:
        raise Refused(f"{what} '{value}' is not one of {', '.join(allowed)}{where}")


def make_case(device, model, dtype, which_pass, **sizes):
    """The case of a named model; `sizes` in place of the model's own: num_layers, seq_len, batch_size, prefix_len."""
    models = named_models()
    if model not in models:
        raise Refused(f"model '{model}' is not known; known: {', '.join(models)}")
    check_choice("dtype", dtype, DTYPES[device], f" (device {device})")
    check_choice("pass", which_pass, PASSES)
    own = dict(zip(("num_layers", "hidden_size", "seq_len", "num_heads"), models[model]))
    given = {name: value for name, value in sizes.items() if value is not None}
    for name, value in given.items():
        least = 0 if name == "prefix_len" else 1
        if value < least:
            raise Refused(f"{name} {value} is not allowed: it must be {least} or more")
    case = Case(**{"model": model, "dtype": dtype, "which_pass": which_pass, "batch_size": 1, "prefix_len": 0,
                   **own, **given})
    if case.prefix_len > 0 and which_pass != "forward":
        raise Refused(f"prefix_len {case.prefix_len} is for pass forward alone")
    return case


def parse_flags(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="test", help="comma-separated")
    parser.add_argument("--pass", dest="which_pass", default="forward", help="forward, step; comma-separated")
    parser.add_argument("--num_layers", type=int, help="instead of the model's own")
    parser.add_argument("--seq_len", type=int, help="instead of the model's own")
    parser.add_argument("--prefix_len", type=int, help="cached positions before the sequence, forward only")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", default="f32", help="f32, f64, bf16 on cpu; f32, tf32, bf16, fp16 on cuda")
    parser.add_argument("--modes", help="comma-separated; default on cuda: " + DEFAULT_MODES["cuda"])
    parser.add_argument("--attention", choices=["default", "flash", "cudnn"], default="default",
                        help="which of PyTorch's attention implementations (cuda only)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the cpu")
    parser.add_argument("--warmup", type=int, default=3, help="passes when a mode has been made")
    parser.add_argument("--warmup_s", type=float, default=0, help="seconds of passes just before timing, at least")
    parser.add_argument("--iterations", type=int, default=20, help="passes timed, at least")
    parser.add_argument("--timed_s", type=float, default=0, help="seconds of passes timed, at least")
    parser.add_argument("--budget_s", type=float, help="leave out what has not begun after these seconds")
    parser.add_argument("--json", help="file to write the results to")
    parser.add_argument("--serve", action="store_true", help="time what standard input asks for")
    flags = parser.parse_args(argv)
    flags.modes = (flags.modes or DEFAULT_MODES[flags.device]).split(",")
    for mode in flags.modes:
        check_choice("mode", mode, MODES[flags.device], f" (device {flags.device})")
    for name in ["threads", "warmup", "iterations"]:
        if getattr(flags, name) < 1:
            raise Refused(f"{name} {getattr(flags, name)} is not allowed: it must be 1 or more")
    for name in ["warmup_s", "timed_s"]:
        if not 0 <= getattr(flags, name) <= 3600:
            raise Refused(f"{name} {getattr(flags, name)} is not allowed: it must be from 0 to 3600")
    if flags.device == "cpu" and flags.attention != "default":
        raise Refused(f"attention '{flags.attention}' needs device cuda")
    sizes = {name: getattr(flags, name) for name in ("num_layers", "seq_len", "batch_size", "prefix_len")}
    flags.cases = [make_case(flags.device, model, flags.dtype, which_pass, **sizes)
                   for model in flags.model.split(",") for which_pass in flags.which_pass.split(",")]
    return flags


def import_torch(device, threads):
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]:  # read when the libraries load
        os.environ[name] = str(threads)
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(threads))
    try:
        import torch
    except ImportError as error:
        raise Refused(f"this Python ({sys.executable}) has no torch: {error}") from error
    if device == "cuda" and not torch.cuda.is_available():
        raise Refused(f"PyTorch {torch.__version__} finds no CUDA device")
    if device == "cpu":
        torch.set_num_threads(threads)
    if device == "cuda":  # one compilation for each case, and none that is given up in silence
        torch._dynamo.config.recompile_limit = 1000
        torch._dynamo.config.accumulated_recompile_limit = 1000
        torch._dynamo.config.fail_on_recompile_limit_hit = True
    return torch


def make_attention(torch, case):
    """A function of q [B, N, T, D], k and v [B, N, P + T, D] to [B, N, T, D]: query i sees the first P + i + 1 keys."""
    functional = torch.nn.functional
    if not hasattr(functional, "scaled_dot_product_attention"):
        def attend(q, k, v):
            mask = torch.full((q.shape[2], k.shape[2]), float("-inf"), dtype=q.dtype, device=q.device)
            scores = torch.matmul(q * q.shape[3]**-0.5, k.transpose(2, 3)) + mask.triu(1 + case.prefix_len)
            return torch.matmul(torch.softmax(scores, dim=-1), v)
        return attend
    if case.prefix_len == 0:
        return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    from torch.nn.attention.bias import causal_lower_right
    bias = causal_lower_right(case.seq_len, case.prefix_len + case.seq_len)
    return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def torch_dtype(torch, dtype):
    return {"f32": torch.float32, "tf32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16,
            "fp16": torch.float16}[dtype]


def make_stack(torch, case, device):
    """The layers and their input."""
    hidden_size, num_heads, prefix_len = case.hidden_size, case.num_heads, case.prefix_len
    head_dim = hidden_size // num_heads
    attend = make_attention(torch, case)

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attn_ln = torch.nn.LayerNorm(hidden_size)
            self.in_proj = torch.nn.Linear(hidden_size, 3 * hidden_size)
            self.out_proj = torch.nn.Linear(hidden_size, hidden_size)
            self.fc_ln = torch.nn.LayerNorm(hidden_size)
            self.fc1 = torch.nn.Linear(hidden_size, 4 * hidden_size)
            self.fc2 = torch.nn.Linear(4 * hidden_size, hidden_size)
            if prefix_len > 0:
                rows = prefix_len + case.seq_len
                for name in ("key_cache", "value_cache"):
                    self.register_buffer(name, torch.randn(case.batch_size, num_heads, rows, head_dim))

        def forward(self, x):
            seq_len, batch_size, _ = x.shape
            qkv = self.in_proj(self.attn_ln(x)).view(seq_len, batch_size, num_heads, 3, head_dim)
            q, k, v = qkv.permute(3, 1, 2, 0, 4).unbind(0)
            if prefix_len > 0:
                self.key_cache[:, :, prefix_len:].copy_(k)
                self.value_cache[:, :, prefix_len:].copy_(v)
                k, v = self.key_cache, self.value_cache
            attended = attend(q, k, v).permute(2, 0, 1, 3).reshape(seq_len, batch_size, hidden_size)
            y = x + self.out_proj(attended)
            return y + self.fc2(torch.nn.functional.relu(self.fc1(self.fc_ln(y))))

    dtype = torch_dtype(torch, case.dtype)
    torch.manual_seed(0)
    with torch.device(device) if device == "cuda" else contextlib.nullcontext():
        stack = torch.nn.Sequential(*(Layer() for _ in range(case.num_layers))).to(device, dtype)
    x = torch.randn(case.seq_len, case.batch_size, hidden_size, device=device, dtype=dtype)
    return stack, x


def make_pass(torch, case, stack, parameters, x):
    """A function that runs one forward, or one forward and backward, and returns z or the loss."""
    if case.which_pass == "forward":
        def forward():
            with torch.no_grad():
                return stack(x)
        return forward

    x.requires_grad_(True)
    loss_scale = FP16_LOSS_SCALE if case.dtype == "fp16" else 1.0

    def step():
        for parameter in parameters:
            parameter.grad = None
        x.grad = None
        loss = stack(x).mean()
        (loss * loss_scale).backward()
        return loss
    return step


def capture(torch, run):
    """run as a CUDA graph: the function that replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        result = run()

    def replay():
        graph.replay()
        return result
    replay.captured = run  # with the code of its kernels
    return replay


def warm_up(run, synchronize, least_s):
    """Runs passes for at least so many seconds, one at least; how long they took, and one of the last of them, in s."""
    begin_s = time.monotonic()
    batch_size = 1
    while True:
        batch_begin_s = time.monotonic()
        for _ in range(batch_size):
            run()
        synchronize()
        end_s = time.monotonic()
        if end_s - begin_s >= least_s:
            return end_s - begin_s, (end_s - batch_begin_s) / batch_size
        if end_s - batch_begin_s < BATCH_S:  # the fewer waits the better: a GPU rests meanwhile
            batch_size *= 2


def time_cpu(run, iterations):
    times_ns = []
    for _ in range(iterations):
        begin = time.perf_counter_ns()
        run()
        times_ns.append(time.perf_counter_ns() - begin)
    return times_ns


def time_cuda(torch, run, iterations):
    events = [torch.cuda.Event(enable_timing=True) for _ in range(iterations + 1)]
    torch.cuda.synchronize()
    events[0].record()
    for event in events[1:]:
        run()
        event.record()
    torch.cuda.synchronize()
    return [int(begin.elapsed_time(end) * 1e6) for begin, end in zip(events, events[1:])]


def attention_context(attention):
    if attention == "default":
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel({"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}[attention])


class Timing:
    """One case, ready to be timed in any of its modes."""

    def __init__(self, torch, case, options):
        self.torch, self.case, self.options = torch, case, options
        self.runs = {}
        self.stack, self.x = make_stack(torch, case, options.device)
        self.parameters = list(self.stack.parameters())
        self.reference = self.make_reference()
        self.allow_tf32(case.dtype == "tf32")
        self.eager = make_pass(torch, case, self.stack, self.parameters, self.x)
        self.eager_errors = self.errors(self.results_of(self.eager, self.stack, self.x))

    def allow_tf32(self, is_allowed):
        if self.options.device == "cuda":
            self.torch.backends.cuda.matmul.allow_tf32 = is_allowed
            self.torch.backends.cudnn.allow_tf32 = is_allowed

    def make_reference(self):
        """What the same layers, weights and input give in REFERENCE_DTYPES."""
        self.allow_tf32(False)
        dtype = torch_dtype(self.torch, REFERENCE_DTYPES[self.case.dtype])
        stack, x = copy.deepcopy(self.stack).to(dtype), self.x.detach().to(dtype)
        run = make_pass(self.torch, self.case, stack, list(stack.parameters()), x)
        return self.results_of(run, stack, x)

    def results_of(self, run, stack, x):
        """What a pass computes: z, or the gradients of the input and of the first layer's parameters."""
        result = run()
        kept = [result]
        if self.case.which_pass == "step":
            kept = [x.grad] + [parameter.grad for parameter in stack[0].parameters()]
        kept = [tensor.detach().double().clone() for tensor in kept]
        if not all(self.torch.isfinite(tensor).all() for tensor in kept):
            raise Refused(f"{self.case.model} {self.case.which_pass}: a result is not finite; its time means nothing")
        return kept

    def errors(self, results):
        """The relative L2 error of each tensor."""
        return [float((a - b).norm() / b.norm()) for a, b in zip(results, self.reference)]

    def prepare(self, mode):
        """Makes, checks and warms up one mode; returns what is known of it before it is timed."""
        begin_s = time.monotonic()
        run = self.eager
        if mode in COMPILE_MODES:
            layers = [self.torch.compile(layer, mode=COMPILE_MODES[mode], dynamic=False) for layer in self.stack]
            compiled = self.torch.nn.Sequential(*layers)
            run = make_pass(self.torch, self.case, compiled, self.parameters, self.x)
            run()
        if mode != "eager":
            run = capture(self.torch, run)
        for _ in range(self.options.warmup):
            run()
        errors = self.errors(self.results_of(run, self.stack, self.x))
        for error, eager_error in zip(errors, self.eager_errors):
            allowed = 2 * eager_error + ALLOWED_ERRORS[self.case.dtype]
            if not error <= allowed:
                raise Refused(f"{self.case.model} {self.case.which_pass}: mode {mode} is off by {error:.2e} of a "
                              f"tensor's norm, where {allowed:.2e} is allowed")
        self.runs[mode] = run
        if self.options.device == "cuda":
            self.torch.cuda.empty_cache()  # others run beside this process
        return {"largest_error": max(errors), "setup_s": round(time.monotonic() - begin_s, 2)}

    def time(self, mode, iterations, warmup_s, timed_s):
        """Times at least so many passes, and at least so many seconds of them, after warmup_s of the same."""
        is_cuda = self.options.device == "cuda"
        run = self.runs[mode]
        warmup_passes_s, pass_s = warm_up(run, self.torch.cuda.synchronize if is_cuda else lambda: None, warmup_s)
        iterations = max(iterations, math.ceil(timed_s / pass_s))
        begin_s = time.monotonic()
        times_ns = time_cuda(self.torch, run, iterations) if is_cuda else time_cpu(run, iterations)
        return {"mode": mode, "median_ns": int(statistics.median(times_ns)), "min_ns": min(times_ns),
                "max_ns": max(times_ns), "times_ns": times_ns, "warmup_passes_s": warmup_passes_s,
                "begin_monotonic_s": begin_s, "end_monotonic_s": time.monotonic()}


def context(torch, flags):
    if flags.device == "cuda":
        device = torch.cuda.get_device_name()
    else:
        found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        device = found.group(1) if found else platform.processor()
    return {
        "pytorch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": flags.device,
        "device_description": device,
        "threads": flags.threads if flags.device == "cpu" else None,
        "attention": flags.attention,
        "command": " ".join(sys.argv),
    }


def serve(torch, flags):
    """Answers requests until standard input ends: {"prepare": {case}, "as": NAME}, then {"mode": M, "of": NAME} to make
    one mode of it and {"time": M, "of": NAME, "iterations": N, "warmup_s": S, "timed_s": S} to time it;
    {"forget": true} frees the memory of all. An answer is {"ok": {...}} or {"error": "..."}."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    timings = {}

    def say(answer):
        print(json.dumps(answer), file=answers, flush=True)

    say({"ok": context(torch, flags)})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                timing = Timing(torch, make_case(flags.device, **request["prepare"]), flags)
                timings[request["as"]] = timing
                say({"ok": dataclasses.asdict(timing.case)})
            elif "mode" in request:
                say({"ok": timings[request["of"]].prepare(request["mode"])})
            elif "time" in request:
                say({"ok": timings[request["of"]].time(
                    request["time"], request["iterations"], request["warmup_s"], request["timed_s"])})
            else:
                timings.clear()
                if flags.device == "cuda":
                    torch._dynamo.reset()
                    gc.collect()
                    torch.cuda.empty_cache()
                say({"ok": {}})
        except Exception as error:  # pylint: disable=broad-except
            say({"error": f"{type(error).__name__}: {error}"})


def time_cases(torch, flags):
    deadline = time.monotonic() + flags.budget_s if flags.budget_s else float("inf")
    results, left_out = [], []
    print(f"{'model':24} {'dtype':5} {'pass':8} {'pytorch':10} {'median ms':>10} {'min ms':>10} {'max ms':>10} "
          f"{'setup s':>8} {'error':>8}")
    for case in flags.cases:
        if time.monotonic() >= deadline:
            left_out.append(f"{case.model} {case.which_pass}: the {flags.budget_s:.0f} s were spent")
            continue
        timing = Timing(torch, case, flags)
        for mode in flags.modes:
            if time.monotonic() >= deadline:
                left_out.append(f"{case.model} {case.which_pass} {mode}: the {flags.budget_s:.0f} s were spent")
                continue
            result = {**dataclasses.asdict(case), **timing.prepare(mode),
                      **timing.time(mode, flags.iterations, flags.warmup_s, flags.timed_s)}
            results.append(result)
            times = " ".join(f"{result[key] / 1e6:10.3f}" for key in ("median_ns", "min_ns", "max_ns"))
            print(f"{case.model:24} {case.dtype:5} {case.which_pass:8} {mode:10} {times} {result['setup_s']:8.1f} "
                  f"{result['largest_error']:8.1e}", flush=True)
    for what in left_out:
        print(f"left out: {what}")
    return {"context": context(torch, flags), "results": results, "left_out": left_out}


def main(argv):
    try:
        flags = parse_flags(argv)
        torch = import_torch(flags.device, flags.threads)
        with attention_context(flags.attention):
            if flags.serve:
                return serve(torch, flags)
            found = time_cases(torch, flags)
    except Refused as error:
        fail(error)
    if flags.json:
        temporary = flags.json + ".partial"
        with open(temporary, "w") as out:
            json.dump(found, out, indent=2)
            out.write("\n")
        os.replace(temporary, flags.json)


if __name__ == "__main__":
    # A character that the terminal's encoding lacks is written as an escape.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    main(sys.argv[1:])
