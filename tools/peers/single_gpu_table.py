#!/usr/bin/env python3
"""Writes the results of compare_single_gpu.py as Markdown: its tables, every number from the JSON.

    tools/peers/single_gpu_table.py single_gpu.json > single_gpu.md
"""

import itertools
import json
import sys

MODES = ["eager", "graph", "compile", "autotune"]
# How many times faster than the best of PyTorch, forward and step, bf16.
TARGETS = {
    "test": {"forward": 3, "step": 3},
    "gpt2-1hm": {"forward": 1.5, "step": 1.6},
    "gpt2-1b": {"forward": 1.3, "step": 1.4},
    "gpt3-1b": {"forward": 1.2, "step": 1.3},
    "gpt3-13b-single-device": {"forward": 1.06, "step": 1.06},
}
# (dtype, pass) of gpt3-1b: the share of the measured matmul ceiling.
SHARE_TARGETS = {("bf16", "forward"): 0.85, ("bf16", "step"): 0.78, ("f32", "forward"): 0.95, ("f32", "step"): 0.95}
MEMORY_TOLERANCE = 0.05
# What the names of conditions begin with (docs/metrics.md).
CONDITIONS = ["num_condition_samples", "median_sm_clock_mhz", "min_sm_clock_mhz", "max_sm_clock_mhz",
              "median_memory_clock_mhz", "median_power_w", "max_power_w", "power_limit_w", "max_temperature_c",
              "clocks_event_share_"]


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def percent(share):
    return "" if share is None else f"{100 * share:.1f} %"


def number(value, digits=3):
    return "" if value is None else f"{value:.{digits}f}"


def met(value, target):
    return "" if value is None or target is None else "met" if value >= target else "missed"


def best_mode(row, key="median_ms"):
    """(mode, ms) of the fastest of PyTorch; (None, None) where it was not timed."""
    times = [(found[key], mode) for mode, found in row["pytorch"].items()]
    return (min(times)[1], min(times)[0]) if times else (None, None)


def ratio(row, key="median_ms"):
    """How many times as long PyTorch's fastest takes."""
    best = best_mode(row, key)[1]
    return None if best is None or row["sluice"] is None else best / row["sluice"][key]


def name_of(row):
    return " ".join([row["model"]] + row["flags"])


def speed_table(rows):
    modes = [mode for mode in MODES if any(mode in row["pytorch"] for row in rows)]
    header = (["model", "dtype", "pass", "Sluice ms", "its min"] + [f"PyTorch {mode}" for mode in modes]
              + ["ratio", "by minima", "target", "", "of the peak ceiling", "of the sustained"])
    lines = []
    for row in rows:
        sluice = row["sluice"] or {}
        target = None
        if row["dtype"] == "bf16" and not row["flags"]:
            target = TARGETS.get(row["model"], {}).get(row["pass"])
        lines.append([name_of(row), row["dtype"], row["pass"], number(sluice.get("median_ms")),
                      number(sluice.get("min_ms"))]
                     + [number(row["pytorch"].get(mode, {}).get("median_ms")) for mode in modes]
                     + [number(ratio(row), 2), number(ratio(row, "min_ms"), 2), target or "", met(ratio(row), target),
                        percent(sluice.get("share_of_matmul_rate")),
                        percent(sluice.get("share_of_sustained_matmul_rate"))])
    return table(header, lines)


def share_table(rows):
    lines = []
    for row in rows:
        target = SHARE_TARGETS.get((row["dtype"], row["pass"]))
        sluice = row["sluice"]
        if row["model"] != "gpt3-1b" or row["flags"] or target is None or sluice is None:
            continue
        share = sluice["share_of_matmul_rate"]
        lines.append([f"{row['dtype']} {row['pass']}", percent(target), percent(share), met(share, target),
                      f"{sluice['matmul_flops_per_s_per_rank'] / 1e12:.1f}",
                      percent(sluice.get("share_of_sustained_matmul_rate")),
                      number(sluice.get("sustained_matmul_flops_per_s_per_rank", 0) / 1e12, 1),
                      percent(share * sluice["median_ms"] / sluice["min_ms"])])
    return table(["gpt3-1b", "goal", "of the peak ceiling", "", "TFLOP/s", "of the sustained", "TFLOP/s",
                  "of the peak, by the fastest pass"], lines)


def conditions_cells(found):
    shares = {key[len("clocks_event_share_"):]: share for key, share in found.items()
              if key.startswith("clocks_event_share_")}
    return [number(found.get("median_sm_clock_mhz"), 0), number(found.get("min_sm_clock_mhz"), 0),
            number(found.get("median_memory_clock_mhz"), 0), number(found.get("median_power_w"), 0),
            number(found.get("max_temperature_c"), 0),
            ", ".join(f"{name} {100 * share:.0f} %" for name, share in sorted(shares.items())) or "none",
            number(found.get("num_condition_samples"), 0)]


def conditions_of(counters, prefix=""):
    """Those among a program's counters whose names begin with the prefix."""
    return {key[len(prefix):]: value for key, value in counters.items()
            if key.startswith(tuple(prefix + name for name in CONDITIONS))}


def conditions_table(rows):
    """A line for each round, in the order in which they were timed, and for Sluice's ceiling, of its first."""
    lines = []
    for row in rows:
        mode = best_mode(row)[0]
        pytorch = [(f"PyTorch {mode}", found) for found in row["pytorch"][mode]["rounds"]] if mode else []
        sluice = [("Sluice", found) for found in (row["sluice"] or {}).get("rounds", [])]
        timed = [found for turn in itertools.zip_longest(pytorch, sluice) for found in turn if found is not None]
        ceiling = conditions_of(row["sluice"] or {}, "sustained_matmul_")
        for who, found in timed + [("sustained ceiling", {"conditions": ceiling})]:
            if found["conditions"].get("num_condition_samples"):
                lines.append([name_of(row), row["dtype"], row["pass"], who, number(found.get("median_ms"))]
                             + conditions_cells(found["conditions"]))
    return table(["model", "dtype", "pass", "round of", "median ms", "SM MHz", "least", "memory MHz", "W", "C",
                  "clocks held down by, share of samples", "samples"], lines)


def memory_table(rows):
    lines = []
    for row in rows:
        sluice = row["sluice"]
        if sluice is None or "peak_device_bytes" not in sluice:
            continue
        predicted, peak = (sluice[key] / 2**20 for key in ("predicted_device_bytes", "peak_device_bytes"))
        seen = sluice["nvml_peak_mib"]
        error = (seen or peak) / predicted - 1
        lines.append([name_of(row), row["dtype"], row["pass"], f"{predicted:.0f}", f"{peak:.0f}", number(seen, 0),
                      f"{100 * error:+.1f} %", "met" if abs(error) <= MEMORY_TOLERANCE else "missed"])
    header = ["model", "dtype", "pass", "predicted", "in use, by itself", "by NVML from outside", "more", ""]
    return table(header, lines)


def attention_table(rows):
    header = ["head_dim", "prefix_len", "slice_len", "pass", "implementation", "Sluice ms", "TFLOP/s", "cuDNN ms",
              "flash ms", "ratio to cuDNN"]
    lines = []
    for row in rows:
        cudnn, flash = (row["pytorch"].get(name) for name in ("cudnn", "flash"))
        lines.append([row["head_dim"], row["prefix_len"], row["slice_len"], row["pass"], row["implementation"],
                      f"{row['median_ms']:.3f}", f"{row['flops_per_s'] / 1e12:.0f}", number(cudnn), number(flash),
                      number(cudnn / row["median_ms"], 2) if cudnn else ""])
    return table(header, lines)


def render(result):
    groups = {group: [row for row in result["rows"] if row["group"] == group] for group in
              ("main", "f32", "grad_dtype", "prefix")}
    parts = [
        f"{result['date']}, {result['device']}, driver {result['driver']}, Sluice of commit {result['commit']}, "
        f"PyTorch {result['pytorch']} in the same run; batch 1, milliseconds, medians of passes timed by events. "
        f"{result['num_rounds']} rounds a side by turns, PyTorch first; a round is {result['timed_s']:g} s of passes "
        f"just after {result['warmup_s']:g} s of its own passes, on both sides. Modes of PyTorch that were far from "
        f"its fastest at a look of a tenth of a second are given by that look.",
        "    " + result["command"],
        speed_table(groups["main"]),
        "Other precisions, float32 gradients beside 16-bit weights, and forward behind a cached prefix:",
        speed_table(groups["f32"] + groups["grad_dtype"] + groups["prefix"]),
        "## Shares of the matmul ceiling",
        share_table(groups["main"] + groups["f32"]),
        "## Attention, forward and backward",
        attention_table(result["attention"]),
        "## Memory\n\nMiB of the GPU.",
        memory_table(result["rows"]),
        "## Clocks and power",
        conditions_table(result["rows"]),
    ]
    if result["left_out"]:
        parts.append("Left out:\n\n" + "\n".join(f"- {what}" for what in result["left_out"]) + "\n")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


if __name__ == "__main__":
    # A character that the terminal's encoding lacks is written as an escape.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    if len(sys.argv) != 2:
        print("single_gpu_table: name the JSON file that compare_single_gpu.py wrote", file=sys.stderr)
        sys.exit(2)
    with open(sys.argv[1], encoding="utf-8") as results_file:
        print(render(json.load(results_file)), end="")
