"""A result file is complete: times, bubbles, memory and traffic of its rows are recomputed from its details alone.

details_test.py PROGRAM ARGUMENT...
"""

import copy
import json
import os
import statistics
import subprocess
import sys
import unittest

COMMUNICATION = ("messages", "tensor_collectives", "data_collectives")


def compute_ops(rank):
    """The compute ops of a rank as (kind, stage, micro-batch, slice, the op)."""
    for op in rank["ops"]:
        kind = op["op"].rstrip("0123456789.")
        if kind in ("F", "BW", "B", "W"):
            yield (kind, *map(int, op["op"][len(kind):].split(".")), op)


def depends_on(kind, stage, num_stages):
    """The kinds and the stage of the ops that a compute op waits for besides the one before it in its list."""
    if kind == "F" and stage > 0:
        return ("F",), stage - 1
    if kind in ("BW", "B") and stage < num_stages - 1:
        return ("BW", "B"), stage + 1
    return (), stage


def simulated_ns(details):
    """The makespan with the median duration of each op and free messages, and the compute of all ranks."""
    num_stages = len(details["schedule"]["rank_of_stage"])
    lists = [list(compute_ops(rank)) for rank in details["ranks"] if rank["tensor"] == rank["data"] == 0]
    end_of, clock_ns, position, busy_ns = {}, [0.0] * len(lists), [0] * len(lists), 0.0
    while any(position[r] < len(ops) for r, ops in enumerate(lists)):
        for r, ops in enumerate(lists):
            while position[r] < len(ops):
                kind, stage, micro_batch, part, op = ops[position[r]]
                kinds, other = depends_on(kind, stage, num_stages)
                inputs = [end_of[k, other, micro_batch, part] for k in kinds if (k, other, micro_batch, part) in end_of]
                if kinds and not inputs:
                    break
                duration_ns = statistics.median(op["duration_ns"])
                clock_ns[r] = max([clock_ns[r]] + inputs) + duration_ns
                busy_ns += duration_ns
                end_of[kind, stage, micro_batch, part] = clock_ns[r]
                position[r] += 1
    return max(clock_ns), busy_ns, len(lists)


def recomputed(details):
    """Numbers of a row by their key."""
    ranks = details["ranks"]
    peaks = [rank["peak_bytes"] for rank in ranks]
    numbers = {
        "sent_bytes": sum(edge["bytes"] for edge in details["edges"]),
        "num_sends": sum(edge["count"] for edge in details["edges"]),
        "num_tensor_collectives": max(rank["tensor_collectives"]["count"] for rank in ranks),
        "data_collective_bytes": max(rank["data_collectives"]["bytes"] for rank in ranks),
        "allocated_bytes": sum(sum(peak.values()) for peak in peaks),
        "peak_activation_bytes": max(peak["activations"] for peak in peaks),
        "peak_activation_gradient_bytes": max(peak["activation_gradients"] for peak in peaks),
    }
    if "pass_ns" not in details:
        return numbers
    makespan_ns, busy_ns, num_ranks = simulated_ns(details)
    median_pass = details["pass_ns"].index(statistics.median_low(details["pass_ns"]))
    measured_busy_ns = sum(rank["busy_ns"][median_pass] for rank in ranks)
    numbers.update({
        "simulated_ms": makespan_ns * 1e-6,
        "simulated_bubble_fraction": 1 - busy_ns / (num_ranks * makespan_ns),
        "measured_bubble_fraction": 1 - measured_busy_ns / (len(ranks) * details["pass_ns"][median_pass]),
        "exposed_communication_share": max(
            sum(rank[key + "_ns"][median_pass] for key in COMMUNICATION) for rank in ranks
        ) / details["pass_ns"][median_pass],
        "max_exposed_communication_ms": max(rank["messages_ns"][median_pass] for rank in ranks) * 1e-6,
        "max_tensor_collectives_ms": max(rank["tensor_collectives_ns"][median_pass] for rank in ranks) * 1e-6,
        "max_data_collectives_ms": max(rank["data_collectives_ns"][median_pass] for rank in ranks) * 1e-6,
    })
    return numbers


def differing(row, details):
    """The keys whose number in the row is not the recomputed one."""
    return [key for key, value in recomputed(details).items() if abs(row[key] - value) > 1e-9 * abs(value) + 1e-12]


class Details(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        json_out = os.path.join(os.environ["TEST_TMPDIR"], "result.json")
        subprocess.run([*COMMAND, "--json_out=" + json_out], check=True)
        with open(json_out) as file:
            cls.result = json.load(file)
        cls.rows = {row["name"]: row for row in cls.result["benchmarks"]}

    def test_every_row_is_recomputed_from_its_details(self):
        self.assertEqual(list(self.result["details"]), list(self.rows))
        for name, row in self.rows.items():
            self.assertEqual(differing(row, self.result["details"][name]), [], name)

    def test_passes_and_ops_of_a_rank_belong_together(self):
        for name, details in self.result["details"].items():
            for rank in details["ranks"] if "pass_ns" in details else []:
                for i, pass_ns in enumerate(details["pass_ns"]):
                    waits_ns = sum(rank[key + "_ns"][i] for key in COMMUNICATION)
                    self.assertLessEqual(rank["busy_ns"][i], pass_ns, name)
                    self.assertLessEqual(waits_ns, pass_ns, name)
                    ops = [op for _, _, _, _, op in compute_ops(rank)]
                    self.assertEqual(sum(op["duration_ns"][i] for op in ops), rank["busy_ns"][i], name)
                    for op, following in zip(ops, ops[1:]):
                        self.assertLessEqual(op["start_ns"][i] + op["duration_ns"][i], following["start_ns"][i], name)

    def test_edges_and_ranks_are_sums_of_messages(self):
        for name, details in self.result["details"].items():
            sends = {}
            for rank in details["ranks"]:
                own = [op for op in rank["ops"] if op["op"].startswith("S")]
                self.assertEqual(rank["sends"], {"count": len(own), "bytes": sum(op["bytes"] for op in own)}, name)
                for op in own:
                    count, size = sends.get((rank["rank"], op["peer"]), (0, 0))
                    sends[rank["rank"], op["peer"]] = count + 1, size + op["bytes"]
                self.assertEqual(sum(rank["peak_bytes"].values()), rank["allocated_bytes"], name)
            edges = {(edge["from"], edge["to"]): (edge["count"], edge["bytes"]) for edge in details["edges"]}
            self.assertEqual(edges, sends, name)

    def test_a_changed_number_is_found(self):
        for name, row in self.rows.items():
            changes = {"sent_bytes": lambda d: d["edges"] and d["edges"][0].update(bytes=d["edges"][0]["bytes"] + 1),
                       "allocated_bytes": lambda d: d["ranks"][-1]["peak_bytes"].update(scratch=0)}
            if "simulated_ms" in row:
                # The first op of the first rank is on the longest path.
                changes["simulated_ms"] = lambda d: next(compute_ops(d["ranks"][0]))[4].update(duration_ns=[10**10])
                changes["measured_bubble_fraction"] = lambda d: d["ranks"][0].update(busy_ns=[0] * len(d["pass_ns"]))
            for key, change in changes.items():
                details = copy.deepcopy(self.result["details"][name])
                change(details)
                if details != self.result["details"][name]:
                    self.assertIn(key, differing(row, details), name)


if __name__ == "__main__":
    COMMAND, sys.argv[1:] = sys.argv[1:], []
    unittest.main()
