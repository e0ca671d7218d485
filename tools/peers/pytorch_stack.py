#!/usr/bin/env python3
"""Times PyTorch on the same stack of layers as Sluice, so that the two can stand beside each other in one run.

    tools/peers/pytorch_stack.py --model=test --device=cpu --threads=2 --dtype=f32 --pass=step
    tools/peers/pytorch_stack.py --model=gpt3-1b --device=cuda --dtype=bf16 --pass=forward --json=pytorch.json

The model is the one of docs/model.md: pre-norm decoder layers, heads interleaved as in_proj writes them, causal
attention, ReLU, loss mean(z). `step` is forward and backward down to the input; gradients start absent in each step, so
that PyTorch writes them instead of adding to old ones. Each way to run PyTorch is a row: `eager`; on cuda also `graph`
(the eager calls captured once in a CUDA graph and replayed) and `compile` (torch.compile, max-autotune-no-cudagraphs,
captured in a CUDA graph too). Times are of one pass: from events on cuda, from a monotonic clock on cpu.

Works with PyTorch 1.13 and newer. Exits 2 with one message on bad flags or a missing device.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import sys
import time

MODEL_TABLE = pathlib.Path(__file__).absolute().parents[2] / "core/model/model_config.cc"
DTYPES = {"cpu": ["f32", "f64", "bf16"], "cuda": ["f32", "tf32", "bf16", "fp16"]}
MODES = {"cpu": ["eager"], "cuda": ["eager", "graph", "compile"]}
FP16_LOSS_SCALE = 128.0


def fail(message):
    print(f"pytorch_stack: {message}", file=sys.stderr)
    sys.exit(2)


def named_models():
    """{name: (num_layers, hidden_size, seq_len, num_heads)}, read from the one table there is."""
    rows = re.findall(r'\{"([\w.-]+)", (\d+), (\d+), (\d+), (\d+)\},', MODEL_TABLE.read_text())
    return {name: tuple(map(int, numbers)) for name, *numbers in rows}


def parse_flags(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="test")
    parser.add_argument("--num_layers", type=int, help="instead of the model's own")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", default="f32", help="f32, f64, bf16 on cpu; f32, tf32, bf16, fp16 on cuda")
    parser.add_argument("--pass", dest="which_pass", choices=["forward", "step"], default="forward")
    parser.add_argument("--modes", help="comma-separated; default: all that the device has")
    parser.add_argument("--attention", choices=["default", "flash", "cudnn"], default="default",
                        help="which of PyTorch's attention implementations (cuda only)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the cpu")
    parser.add_argument("--warmup", type=int, default=3, help="passes before timing")
    parser.add_argument("--iterations", type=int, default=20, help="passes timed")
    parser.add_argument("--json", help="file to write the results to")
    flags = parser.parse_args(argv)

    models = named_models()
    if flags.model not in models:
        fail(f"model '{flags.model}' is not known; known: {', '.join(models)}")
    if flags.dtype not in DTYPES[flags.device]:
        fail(f"dtype '{flags.dtype}' is not one of {', '.join(DTYPES[flags.device])} (device {flags.device})")
    flags.modes = flags.modes.split(",") if flags.modes else MODES[flags.device]
    for mode in flags.modes:
        if mode not in MODES[flags.device]:
            fail(f"mode '{mode}' is not one of {', '.join(MODES[flags.device])} (device {flags.device})")
    for name in ["batch_size", "threads", "warmup", "iterations"]:
        if getattr(flags, name) < 1:
            fail(f"{name} {getattr(flags, name)} is not allowed: it must be 1 or more")
    if flags.device == "cpu" and flags.attention != "default":
        fail(f"attention '{flags.attention}' needs device cuda")
    num_layers, flags.hidden_size, flags.seq_len, flags.num_heads = models[flags.model]
    if flags.num_layers is None:
        flags.num_layers = num_layers
    if flags.num_layers < 1:
        fail(f"num_layers {flags.num_layers} is not allowed: it must be 1 or more")
    return flags


def import_torch(flags):
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]:  # read when the libraries load
        os.environ[name] = str(flags.threads)
    try:
        import torch
    except ImportError as error:
        fail(f"this Python ({sys.executable}) has no torch: {error}")
    if flags.device == "cuda" and not torch.cuda.is_available():
        fail(f"PyTorch {torch.__version__} finds no CUDA device")
    if flags.device == "cpu":
        torch.set_num_threads(flags.threads)
    if flags.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = flags.dtype == "tf32"
        torch.backends.cudnn.allow_tf32 = flags.dtype == "tf32"
    return torch


def make_stack(torch, flags):
    functional = torch.nn.functional
    hidden_size, num_heads = flags.hidden_size, flags.num_heads
    head_dim = hidden_size // num_heads
    has_fused_attention = hasattr(functional, "scaled_dot_product_attention")

    def attend(q, k, v):
        """q, k, v, result [B, N, T, D]."""
        if has_fused_attention:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        seq_len = q.shape[2]
        mask = torch.full((seq_len, seq_len), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
        scores = torch.matmul(q * head_dim**-0.5, k.transpose(2, 3)) + mask
        return torch.matmul(torch.softmax(scores, dim=-1), v)

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attn_ln = torch.nn.LayerNorm(hidden_size)
            self.in_proj = torch.nn.Linear(hidden_size, 3 * hidden_size)
            self.out_proj = torch.nn.Linear(hidden_size, hidden_size)
            self.fc_ln = torch.nn.LayerNorm(hidden_size)
            self.fc1 = torch.nn.Linear(hidden_size, 4 * hidden_size)
            self.fc2 = torch.nn.Linear(4 * hidden_size, hidden_size)

        def forward(self, x):
            seq_len, batch_size, _ = x.shape
            qkv = self.in_proj(self.attn_ln(x)).view(seq_len, batch_size, num_heads, 3, head_dim)
            q, k, v = qkv.permute(3, 1, 2, 0, 4).unbind(0)
            attended = attend(q, k, v).permute(2, 0, 1, 3).reshape(seq_len, batch_size, hidden_size)
            y = x + self.out_proj(attended)
            return y + self.fc2(functional.relu(self.fc1(self.fc_ln(y))))

    dtype = {"f32": torch.float32, "tf32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16,
             "fp16": torch.float16}[flags.dtype]
    torch.manual_seed(0)
    stack = torch.nn.Sequential(*(Layer() for _ in range(flags.num_layers))).to(flags.device, dtype)
    x = torch.randn(flags.seq_len, flags.batch_size, hidden_size, device=flags.device, dtype=dtype)
    return stack, x


def make_pass(torch, flags, stack, parameters, x):
    """A function that runs one forward, or one forward and backward, and returns z or the loss."""
    if flags.which_pass == "forward":
        def forward():
            with torch.no_grad():
                return stack(x)
        return forward

    x.requires_grad_(True)
    loss_scale = FP16_LOSS_SCALE if flags.dtype == "fp16" else 1.0

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
    with torch.cuda.graph(graph):
        result = run()

    def replay():
        graph.replay()
        return result
    return replay


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


def attention_context(torch, flags):
    if flags.attention == "default":
        import contextlib
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel({"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}[flags.attention])


def measure(torch, flags, mode):
    stack, x = make_stack(torch, flags)
    parameters = list(stack.parameters())
    if mode == "compile":
        stack = torch.compile(stack, mode="max-autotune-no-cudagraphs")
    run = make_pass(torch, flags, stack, parameters, x)
    for _ in range(flags.warmup):
        run()
    if mode in ("graph", "compile"):
        run = capture(torch, run)
        for _ in range(flags.warmup):
            run()
    if flags.device == "cuda":
        times_ns = time_cuda(torch, run, flags.iterations)
    else:
        times_ns = time_cpu(run, flags.iterations)
    if not torch.isfinite(run().float()).all():
        fail(f"mode {mode}: the result is not finite, so its time means nothing")
    return {
        "mode": mode,
        "median_ns": int(statistics.median(times_ns)),
        "min_ns": min(times_ns),
        "max_ns": max(times_ns),
        "times_ns": times_ns,
    }


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
        "model": flags.model,
        "num_layers": flags.num_layers,
        "hidden_size": flags.hidden_size,
        "seq_len": flags.seq_len,
        "num_heads": flags.num_heads,
        "batch_size": flags.batch_size,
        "dtype": flags.dtype,
        "pass": flags.which_pass,
        "attention": flags.attention,
        "command": " ".join(sys.argv),
    }


def main(argv):
    flags = parse_flags(argv)
    torch = import_torch(flags)
    results = []
    print(f"{'model':24} {'dtype':5} {'pass':8} {'pytorch':10} {'median ms':>10} {'min ms':>10} {'max ms':>10}")
    with attention_context(torch, flags):
        for mode in flags.modes:
            result = measure(torch, flags, mode)
            results.append(result)
            times = " ".join(f"{result[key] / 1e6:10.3f}" for key in ("median_ns", "min_ns", "max_ns"))
            print(f"{flags.model:24} {flags.dtype:5} {flags.which_pass:8} {mode:10} {times}", flush=True)
    if flags.json:
        temporary = flags.json + ".partial"
        with open(temporary, "w") as out:
            json.dump({"context": context(torch, flags), "results": results}, out, indent=2)
            out.write("\n")
        os.replace(temporary, flags.json)


if __name__ == "__main__":
    main(sys.argv[1:])
