"""The model of docs/model.md in NumPy, forward and backward in float64, written from that page alone.

    weights = draw_weights(sizes, numpy.random.default_rng(1))
    results = step(sizes, weights, x, projection)

It shares nothing with core/, so that a file which it writes is a reference from elsewhere.
"""

import dataclasses
import math

import numpy as np

EPS = 1e-5


@dataclasses.dataclass(frozen=True)
class Sizes:
    num_layers: int
    hidden_size: int
    seq_len: int
    num_heads: int
    batch_size: int


def parameter_shapes(sizes):
    h = sizes.hidden_size
    return {
        "attn_ln.weight": (h,),
        "attn_ln.bias": (h,),
        "attn.in_proj.weight": (3 * h, h),
        "attn.in_proj.bias": (3 * h,),
        "attn.out_proj.weight": (h, h),
        "attn.out_proj.bias": (h,),
        "fc_ln.weight": (h,),
        "fc_ln.bias": (h,),
        "fc1.weight": (4 * h, h),
        "fc1.bias": (4 * h,),
        "fc2.weight": (h, 4 * h),
        "fc2.bias": (h,),
    }


def draw_weights(sizes, rng, scale=1.0):
    """Normal weights with the deviation of 1 / sqrt(fan_in), linear layers times `scale`; layer norms near 1 and 0."""
    layers = []
    for _ in range(sizes.num_layers):
        layer = {}
        for name, shape in parameter_shapes(sizes).items():
            values = rng.standard_normal(shape)
            if "_ln" in name:
                layer[name] = 0.3 * values + (1.0 if name.endswith("weight") else 0.0)
            else:
                layer[name] = scale * values / math.sqrt(shape[-1] if len(shape) == 2 else sizes.hidden_size)
        layers.append(layer)
    return layers


def norm_forward(x, weight, bias):
    mean = x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + EPS)
    normalized = (x - mean) * rstd
    return normalized * weight + bias, (normalized, rstd)


def norm_backward(dout, weight, saved):
    normalized, rstd = saved
    g = dout * weight
    dx = rstd * (g - g.mean(-1, keepdims=True) - normalized * (g * normalized).mean(-1, keepdims=True))
    return dx, (dout * normalized).sum((0, 1)), dout.sum((0, 1))


def linear_backward(dout, x, weight):
    flat = dout.reshape(-1, dout.shape[-1])
    return dout @ weight, flat.T @ x.reshape(-1, x.shape[-1]), flat.sum(0)


def attention_forward(qkv, sizes):
    t, b, n = sizes.seq_len, sizes.batch_size, sizes.num_heads
    d = sizes.hidden_size // n
    q, k, v = np.moveaxis(qkv.reshape(t, b, n, 3, d), 3, 0)
    scores = np.einsum("ibnd,jbnd->bnij", q, k) / math.sqrt(d)
    scores = np.where(np.tril(np.ones((t, t), bool)), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return np.einsum("bnij,jbnd->ibnd", p, v).reshape(t, b, -1), (q, k, v, p)


def attention_backward(dout, saved, sizes):
    q, k, v, p = saved
    t, b, n, d = q.shape
    dout = dout.reshape(t, b, n, d)
    dv = np.einsum("bnij,ibnd->jbnd", p, dout)
    dp = np.einsum("ibnd,jbnd->bnij", dout, v)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / math.sqrt(d)
    dq = np.einsum("bnij,jbnd->ibnd", ds, k)
    dk = np.einsum("bnij,ibnd->jbnd", ds, q)
    return np.stack([dq, dk, dv], axis=3).reshape(t, b, 3 * sizes.hidden_size)


def layer_forward(x, w, sizes):
    ln1, norm1 = norm_forward(x, w["attn_ln.weight"], w["attn_ln.bias"])
    attended, saved = attention_forward(ln1 @ w["attn.in_proj.weight"].T + w["attn.in_proj.bias"], sizes)
    y = x + attended @ w["attn.out_proj.weight"].T + w["attn.out_proj.bias"]
    ln2, norm2 = norm_forward(y, w["fc_ln.weight"], w["fc_ln.bias"])
    relu = np.maximum(ln2 @ w["fc1.weight"].T + w["fc1.bias"], 0)
    z = y + relu @ w["fc2.weight"].T + w["fc2.bias"]
    return z, (ln1, norm1, attended, saved, ln2, norm2, relu)


def layer_backward(dz, w, kept, sizes):
    ln1, norm1, attended, saved, ln2, norm2, relu = kept
    grads = {}
    drelu, grads["fc2.weight"], grads["fc2.bias"] = linear_backward(dz, relu, w["fc2.weight"])
    dln2, grads["fc1.weight"], grads["fc1.bias"] = linear_backward(drelu * (relu > 0), ln2, w["fc1.weight"])
    dnorm, grads["fc_ln.weight"], grads["fc_ln.bias"] = norm_backward(dln2, w["fc_ln.weight"], norm2)
    dy = dz + dnorm
    dattended, grads["attn.out_proj.weight"], grads["attn.out_proj.bias"] = linear_backward(
        dy, attended, w["attn.out_proj.weight"])
    dqkv = attention_backward(dattended, saved, sizes)
    dln1, grads["attn.in_proj.weight"], grads["attn.in_proj.bias"] = linear_backward(
        dqkv, ln1, w["attn.in_proj.weight"])
    dnorm, grads["attn_ln.weight"], grads["attn_ln.bias"] = norm_backward(dln1, w["attn_ln.weight"], norm1)
    return dy + dnorm, grads


def step(sizes, weights, x, projection=None):
    """{tensor of a reference checkpoint: values}; without a projection the loss is the mean."""
    tensors = {"input": x}
    if projection is not None:
        tensors["projection"] = projection
    kept = []
    for layer, w in enumerate(weights):
        tensors.update({f"layers.{layer}.{name}": values for name, values in w.items()})
        x, saved = layer_forward(x, w, sizes)
        kept.append(saved)
    r = np.ones_like(x) if projection is None else projection
    tensors["output"] = x
    tensors["loss"] = np.array([(x * r).sum() / x.size])
    gradient = r / x.size
    for layer in reversed(range(sizes.num_layers)):
        gradient, grads = layer_backward(gradient, weights[layer], kept[layer], sizes)
        tensors.update({f"grad.layers.{layer}.{name}": values for name, values in grads.items()})
    tensors["grad.input"] = gradient
    return tensors
