#!/usr/bin/python3
"""Makes the golden fixtures: what PyTorch autograd in float64 says of small models of odd sizes.

    /usr/bin/python3 correctness/golden/make_golden.py        (Debian's python3-torch)

writes correctness/golden/fixtures/<case>.safetensors. The fixtures are committed; the tests that read them need no
PyTorch. A fixture holds outputs and gradients only: its weights, input, projection and prefix are drawn again from
(seed, name, element) by whoever reads it, so it also proves the generator, which is written here a second time.

Tensors, all float64: `output` [L, B, H], `loss` [1], `grad.input` [L, B, H], `grad.layers.{i}.{parameter}`, and with
a prefix `grad.layers.{i}.prefix` [P, B, 3H]. The gradients of matrices of wide models are stored as two products,
G r as `grad.layers.{i}.{parameter}.right` [rows] and l^T G as `...left` [columns], with r and l uniform from the
streams "golden.right" and "golden.left": a fault in any one element shows in both.
"""

import json
import math
import os
import struct

import numpy as np
import torch

# Wider models store products of their matrix gradients instead of the whole.
LARGEST_WHOLE_HIDDEN_SIZE = 32

# name: num_layers, hidden_size, num_heads, seq_len, batch_size, prefix_len, loss, seed
CASES = {
    "head_dim_5": (3, 15, 3, 7, 1, 0, "mean", 1),
    "head_dim_5_prefix": (3, 15, 3, 4, 2, 5, "projection", 2),
    "head_dim_16": (2, 32, 2, 9, 3, 0, "projection", 3),
    "head_dim_16_prefix": (2, 32, 2, 5, 2, 6, "mean", 4),
    "head_dim_64": (2, 128, 2, 11, 2, 0, "projection", 5),
    "head_dim_64_prefix": (1, 64, 1, 1, 3, 13, "projection", 6),
    "head_dim_80_prefix": (2, 240, 3, 6, 2, 3, "projection", 7),
    "head_dim_96": (2, 96, 1, 13, 1, 0, "mean", 8),
    "head_dim_96_prefix": (1, 192, 2, 3, 2, 9, "projection", 9),
    "head_dim_128": (1, 128, 1, 17, 2, 0, "projection", 10),
    "head_dim_128_prefix": (2, 256, 2, 7, 3, 4, "projection", 11),
}


def hash_fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def philox4x32(counter, key):
    """Philox4x32-10 of Salmon et al. (SC 2011). counter: four uint64 arrays of 32-bit values."""
    mask = np.uint64(0xFFFFFFFF)
    c = list(counter)
    k0, k1 = key % 2**32, key >> 32
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c[0]
        p1 = np.uint64(0xCD9E8D57) * c[2]
        high = np.uint64(32)
        c = [(p1 >> high) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> high) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c


def check_philox():
    """The published known answers of Philox4x32-10 for zeros and for ones."""
    for value, key, expected in [
        (0, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (2**32 - 1, 2**64 - 1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ]:
        words = philox4x32([np.array([value], np.uint64)] * 4, key)
        assert [int(word[0]) for word in words] == expected, words


class RandomStream:
    def __init__(self, seed, name):
        self.seed, self.name_hash = seed, hash_fnv1a(name)

    def words(self, shape):
        element = np.arange(math.prod(shape), dtype=np.uint64)
        zero = np.zeros_like(element)
        name = [zero + np.uint64(self.name_hash % 2**32), zero + np.uint64(self.name_hash >> 32)]
        return philox4x32([element, zero] + name, self.seed)

    @staticmethod
    def unit(low, high):
        return ((high << np.uint64(32) | low) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def uniform(self, shape):
        words = self.words(shape)
        return torch.from_numpy((2 * self.unit(words[0], words[1]) - 1).reshape(shape))

    def normal(self, shape):
        words = self.words(shape)
        u, v = self.unit(words[0], words[1]), self.unit(words[2], words[3])
        # The math module's functions are the C library's; NumPy's own differ in the last bit.
        values = [math.sqrt(-2 * math.log(1 - a)) * math.cos(2 * math.pi * b) for a, b in zip(u, v)]
        return torch.tensor(values, dtype=torch.float64).reshape(shape)


def layer_parameters(seed, layer, hidden_size):
    h, f = hidden_size, 4 * hidden_size
    shapes = {
        "attn_ln.weight": [h], "attn_ln.bias": [h],
        "attn.in_proj.weight": [3 * h, h], "attn.in_proj.bias": [3 * h],
        "attn.out_proj.weight": [h, h], "attn.out_proj.bias": [h],
        "fc_ln.weight": [h], "fc_ln.bias": [h],
        "fc1.weight": [f, h], "fc1.bias": [f],
        "fc2.weight": [h, f], "fc2.bias": [h],
    }  # fmt: skip
    parameters = {}
    for name, shape in shapes.items():
        u = RandomStream(seed, f"layers.{layer}.{name}").uniform(shape)
        if "_ln." in name:
            value = 1 + 0.1 * u if name.endswith("weight") else 0.1 * u
        else:
            value = u / math.sqrt(f if name.startswith("fc2") else h)
        parameters[name] = value.requires_grad_()
    return parameters


def layer_forward(p, prefix, x, num_heads):
    length, batch, h = x.shape
    dim = h // num_heads

    def norm(name, value):
        return torch.nn.functional.layer_norm(value, [h], p[name + ".weight"], p[name + ".bias"], eps=1e-5)

    def linear(name, value):
        return value @ p[name + ".weight"].T + p[name + ".bias"]

    qkv = torch.cat([prefix, linear("attn.in_proj", norm("attn_ln", x))])
    q, k, v = qkv.reshape(-1, batch, num_heads, 3, dim).unbind(3)
    scores = torch.einsum("ibnd,jbnd->bnij", q[len(prefix):], k) * dim**-0.5
    causal = torch.arange(len(k))[None, :] <= len(prefix) + torch.arange(length)[:, None]
    weights = torch.softmax(scores.masked_fill(~causal, -math.inf), -1)
    attention = torch.einsum("bnij,jbnd->ibnd", weights, v).reshape(length, batch, h)
    y = x + linear("attn.out_proj", attention)
    return y + linear("fc2", torch.relu(linear("fc1", norm("fc_ln", y))))


def make_case(num_layers, hidden_size, num_heads, seq_len, batch_size, prefix_len, loss_kind, seed):
    layers = [layer_parameters(seed, i, hidden_size) for i in range(num_layers)]
    shape = [seq_len, batch_size, hidden_size]
    x = RandomStream(seed, "input").normal(shape).requires_grad_()
    prefixes = [
        RandomStream(seed, f"layers.{i}.prefix").normal([prefix_len, batch_size, 3 * hidden_size]).requires_grad_()
        for i in range(num_layers)
    ]
    z = x
    for parameters, prefix in zip(layers, prefixes):
        z = layer_forward(parameters, prefix, z, num_heads)
    loss = z.mean() if loss_kind == "mean" else (z * RandomStream(seed, "projection").normal(shape)).sum() / z.numel()
    loss.backward()

    tensors = {"output": z, "loss": loss.reshape(1), "grad.input": x.grad}
    for i, (parameters, prefix) in enumerate(zip(layers, prefixes)):
        if prefix_len:
            tensors[f"grad.layers.{i}.prefix"] = prefix.grad
        for name, value in parameters.items():
            gradient = value.grad
            if gradient.dim() == 1 or hidden_size <= LARGEST_WHOLE_HIDDEN_SIZE:
                tensors[f"grad.layers.{i}.{name}"] = gradient
            else:
                rows, columns = gradient.shape
                right = RandomStream(seed, "golden.right").uniform([columns])
                left = RandomStream(seed, "golden.left").uniform([rows])
                tensors[f"grad.layers.{i}.{name}.right"] = gradient @ right
                tensors[f"grad.layers.{i}.{name}.left"] = left @ gradient
    metadata = {
        "num_layers": num_layers, "hidden_size": hidden_size, "num_heads": num_heads, "seq_len": seq_len,
        "batch_size": batch_size, "prefix_len": prefix_len, "loss": loss_kind, "seed": seed,
    }  # fmt: skip
    return tensors, {key: str(value) for key, value in metadata.items()}


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        values = tensor.detach().numpy().astype("<f8").tobytes()
        offsets = [len(data), len(data) + len(values)]
        header[name] = {"dtype": "F64", "shape": list(tensor.shape), "data_offsets": offsets}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    check_philox()
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
    for name, case in CASES.items():
        tensors, metadata = make_case(*case)
        path = os.path.join(folder, name + ".safetensors")
        write_safetensors(path, tensors, metadata)
        print(f"{name}: loss {float(tensors['loss']):.6e}, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
