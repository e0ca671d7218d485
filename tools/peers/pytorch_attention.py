#!/usr/bin/env python3
"""Times PyTorch's causal attention on one GPU, forward and backward, by flash and by cuDNN, beside Sluice's kernels.

    tools/peers/pytorch_attention.py --dtype=bf16 --num_heads=16 --shapes=128x8192,64x8192

A shape is head_dim x seq_len, batch 1, causal. q, k and v are apart and contiguous, [heads, positions, head_dim],
which is what these implementations like best. Times are medians of events; TFLOP/s count the visible half: 4 head_dim
for each visible (query, key) of each head forward, 10 head_dim backward. Exits 2 with one message where it cannot run.
"""

import argparse
import json
import os
import statistics
import sys
import time

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "f32": "float32"}
WARMUPS = 10
REPETITIONS = 50


def parse_flags(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--num_heads", type=int, default=16)
    parser.add_argument("--shapes", default="64x8192,128x2048,128x8192,128x16384")
    parser.add_argument("--warmup_s", type=float, default=0, help="seconds of calls just before the timed ones")
    parser.add_argument("--json", help="file to write the results to")
    return parser.parse_args(argv)


def median_ms(torch, run, warmup_s):
    """Calls are enqueued without waiting, so that none waits for its launch from Python."""
    end_s = time.monotonic() + warmup_s
    while True:
        for _ in range(WARMUPS):
            run()
        torch.cuda.synchronize()
        if time.monotonic() >= end_s:
            break
    events = [torch.cuda.Event(enable_timing=True) for _ in range(REPETITIONS + 1)]
    events[0].record()
    for event in events[1:]:
        run()
        event.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in zip(events, events[1:]))


def time_shape(torch, backend, flags, head_dim, seq_len):
    from torch.nn.attention import sdpa_kernel

    shape = (1, flags.num_heads, seq_len, head_dim)
    dtype = getattr(torch, DTYPES[flags.dtype])
    q, k, v = (torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True) for _ in range(3))
    dout = torch.randn(shape, device="cuda", dtype=dtype)
    attention = torch.nn.functional.scaled_dot_product_attention
    with sdpa_kernel(backend):
        with torch.no_grad():
            forward = median_ms(torch, lambda: attention(q, k, v, is_causal=True), flags.warmup_s)
        out = attention(q, k, v, is_causal=True)
        backward = median_ms(torch, lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True),
                             flags.warmup_s)
    return forward, backward


def main(argv):
    flags = parse_flags(argv)
    try:
        import torch
        from torch.nn.attention import SDPBackend
    except ImportError as error:
        print(f"pytorch_attention: needs PyTorch 2.3 or newer: {error}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("pytorch_attention: PyTorch sees no GPU", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    print("implementation, dtype, head_dim, num_heads, seq_len; forward ms, TFLOP/s; backward ms, TFLOP/s")
    backends = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
    if flags.dtype == "f32":
        backends = {"efficient": SDPBackend.EFFICIENT_ATTENTION}
    results = []
    for shape in flags.shapes.split(","):
        head_dim, seq_len = map(int, shape.split("x"))
        operations = 4 * flags.num_heads * head_dim * seq_len * (seq_len + 1) / 2
        for name, backend in backends.items():
            forward, backward = time_shape(torch, backend, flags, head_dim, seq_len)
            results.append({"implementation": name, "dtype": flags.dtype, "head_dim": head_dim, "seq_len": seq_len,
                            "num_heads": flags.num_heads, "forward_ms": forward, "backward_ms": backward})
            print(f"{name:9} {flags.dtype:5} {head_dim:4} {flags.num_heads:4} {seq_len:6}  "
                  f"{forward:9.4f} {operations / forward * 1e-9:7.1f}  "
                  f"{backward:9.4f} {2.5 * operations / backward * 1e-9:7.1f}", flush=True)
    if flags.json:
        with open(flags.json + ".partial", "w") as out:
            json.dump({"results": results}, out, indent=1)
            out.write("\n")
        os.replace(flags.json + ".partial", flags.json)
    return 0


if __name__ == "__main__":
    # A character that the terminal's encoding lacks is written as an escape.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
