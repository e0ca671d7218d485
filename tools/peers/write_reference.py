#!/usr/bin/env python3
"""Writes a reference checkpoint with PyTorch's autograd, for //correctness:check.

    tools/peers/write_reference.py --num_layers=4 --hidden_size=256 --seq_len=128 --num_heads=4 --out=ref.safetensors
    bazel run //correctness:check -- --scheme=seqpipe --world_size=2 --n_slices=8 --checkpoint_path=ref.safetensors

The model is that of docs/model.md, with weights of PyTorch's own random numbers. The file holds input, weights, output,
loss and all gradients in the dtype that they were computed in (docs/model.md says its layout). Exits 2 with one message
on bad flags.
"""

import argparse
import math
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tools.peers import safetensors_file  # noqa: E402

DTYPES = ["f64", "f32", "bf16", "fp16"]
FP16_LOSS_SCALE = 128.0
SIZES = ["num_layers", "hidden_size", "seq_len", "num_heads", "batch_size"]


def fail(message):
    print(f"write_reference: {message}", file=sys.stderr)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(f"{message}; see --help")


def parse_flags(argv):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    for name, default in zip(SIZES, [4, 256, 128, 4, 1]):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--loss", choices=["mean", "projection"], default="projection")
    parser.add_argument("--seed", type=int, default=0, help="of PyTorch's generator")
    parser.add_argument("--dtype", choices=DTYPES, default="f64", help="what is computed in")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", required=True, help="the file to write")
    flags = parser.parse_args(argv)
    for name in SIZES:
        if getattr(flags, name) < 1:
            fail(f"{name} {getattr(flags, name)} is not allowed: it must be 1 or more")
    if flags.hidden_size % flags.num_heads:
        fail(f"hidden_size {flags.hidden_size} is not divisible by num_heads {flags.num_heads}")
    if not os.path.isdir(os.path.dirname(os.path.abspath(flags.out))):
        fail(f"out '{flags.out}' would lie in a folder that does not exist")
    return flags


def draw(torch, flags):
    """Input, projection (or None) and the weights of each layer, by name."""
    generator = torch.Generator().manual_seed(flags.seed)
    dtype = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[flags.dtype]
    h = flags.hidden_size

    def normal(*shape, scale=1.0, shift=0.0):
        values = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale + shift
        return values.to(flags.device, dtype)

    def linear(outputs, inputs):
        return normal(outputs, inputs, scale=1 / math.sqrt(3 * inputs)), normal(outputs, scale=0.1)

    layers = []
    for _ in range(flags.num_layers):
        layer = {}
        for norm in ["attn_ln", "fc_ln"]:
            layer[norm + ".weight"], layer[norm + ".bias"] = normal(h, scale=0.1, shift=1), normal(h, scale=0.1)
        for name, outputs, inputs in [("attn.in_proj", 3 * h, h), ("attn.out_proj", h, h), ("fc1", 4 * h, h),
                                      ("fc2", h, 4 * h)]:
            layer[name + ".weight"], layer[name + ".bias"] = linear(outputs, inputs)
        layers.append({name: values.requires_grad_() for name, values in layer.items()})
    shape = (flags.seq_len, flags.batch_size, h)
    x = normal(*shape).requires_grad_()
    return x, normal(*shape) if flags.loss == "projection" else None, layers


def forward(torch, x, layer, num_heads):
    """One pre-norm decoder layer of [T, B, H]."""
    functional = torch.nn.functional
    t, b, h = x.shape

    def norm(y, name):
        return functional.layer_norm(y, (h,), layer[name + ".weight"], layer[name + ".bias"], 1e-5)

    def linear(y, name):
        return functional.linear(y, layer[name + ".weight"], layer[name + ".bias"])

    qkv = linear(norm(x, "attn_ln"), "attn.in_proj").reshape(t, b, num_heads, 3, h // num_heads)
    q, k, v = (part.permute(1, 2, 0, 3) for part in qkv.unbind(3))
    attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    y = x + linear(attended.permute(2, 0, 1, 3).reshape(t, b, h), "attn.out_proj")
    return y + linear(torch.relu(linear(norm(y, "fc_ln"), "fc1")), "fc2")


def compute(torch, flags):
    """{tensor of the checkpoint: values}, in the checkpoint's order."""
    x, projection, layers = draw(torch, flags)
    z = x
    for layer in layers:
        z = forward(torch, z, layer, flags.num_heads)
    wide = torch.float64 if flags.dtype == "f64" else torch.float32
    loss = (z.to(wide) * (1 if projection is None else projection.to(wide))).sum() / z.numel()
    scale = FP16_LOSS_SCALE if flags.dtype == "fp16" else 1.0
    (loss * scale).backward()
    tensors = {"input": x.detach()}
    if projection is not None:
        tensors["projection"] = projection
    for i, layer in enumerate(layers):
        tensors.update({f"layers.{i}.{name}": values.detach() for name, values in layer.items()})
    tensors.update({"output": z.detach(), "loss": loss.detach().reshape(1)})
    for i, layer in reversed(list(enumerate(layers))):
        tensors.update({f"grad.layers.{i}.{name}": values.grad.to(wide) / scale for name, values in layer.items()})
    tensors["grad.input"] = x.grad.to(wide) / scale
    return tensors


def main(argv):
    flags = parse_flags(argv)
    try:
        import torch
    except ImportError:
        fail("PyTorch is not installed for this Python")
    if flags.device == "cuda" and not torch.cuda.is_available():
        fail("--device=cuda: PyTorch sees no GPU")
    file_dtypes = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}

    def entry(values):
        values = values.cpu().contiguous()
        return file_dtypes[values.dtype], values.shape, values.view(torch.uint8).numpy().tobytes()

    metadata = {name: str(getattr(flags, name)) for name in SIZES}
    metadata.update(loss=flags.loss, dtype=flags.dtype, commit="PyTorch " + torch.__version__)
    tensors = {name: entry(values) for name, values in compute(torch, flags).items()}
    try:
        safetensors_file.write(flags.out, tensors, metadata)
    except OSError as error:
        fail(f"cannot write '{flags.out}': {error.strerror}")
    print(f"wrote {len(tensors)} tensors of {flags.dtype} by PyTorch {torch.__version__} to {flags.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
