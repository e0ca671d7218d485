"""Names of benchmarks say what was requested: they are the same on any CPUs and in any environment."""

import os
import subprocess
import unittest

from tools.perf import machine

_ROOT = os.environ["PYTHONPATH"]

_COMMANDS = [
    ["bench/bench"],
    ["bench/seqpipe", "--n_slices=4"],
    ["bench/megatron", "--plan=megatron_sequence_parallel"],
    ["bench/single"],
    ["bench/single_test_w1_cpu_short"],
    ["bench/gpipe_test_w2_cpu_short"],
    ["bench/comm/comm"],
    ["bench/kernels/causal_attention"],
]
_ENVIRONMENTS = [
    {}, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "3"}, {"CUDA_VISIBLE_DEVICES": ""},
    {"OMPI_COMM_WORLD_LOCAL_SIZE": "5"},
]


def _names(command, cpus, environment):
    """What the program answers to a filter that matches nothing: all of its names."""
    run = subprocess.run(
        machine.pinned([os.path.join(_ROOT, command[0]), *command[1:], "--filter=^nothing$"], cpus),
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    if run.returncode != 2 or "device:cpu" not in run.stderr and "comm:thread" not in run.stderr:
        raise AssertionError(f"{command}: exit code {run.returncode}: {run.stderr}")
    return run.stderr


class NamesTest(unittest.TestCase):
    def test_names_depend_on_neither_affinity_nor_environment(self):
        every_cpu = machine.allowed_cpus()
        affinities = [every_cpu, every_cpu[:1], every_cpu[-1:], every_cpu[:-1] or every_cpu]
        for command in _COMMANDS:
            names = {_names(command, cpus, {}) for cpus in affinities}
            names |= {_names(command, every_cpu, environment) for environment in _ENVIRONMENTS}
            self.assertEqual(len(names), 1, "\n".join(names))

    def test_names_have_what_is_requested(self):
        cpus = machine.allowed_cpus()
        for command, part in ((["bench/single", "--threads=1"], "/threads:1/"),
                              (["bench/seqpipe", "--world_size=2"], "/world_size:2/"),
                              (["bench/kernels/causal_attention", "--threads=2"], "/threads:2/"),
                              (["bench/comm/comm", "--world_size=3"], "/world_size:3/")):
            self.assertIn(part, _names(command, cpus, {}))
            self.assertNotIn(part, _names(command[:1], cpus, {}))


if __name__ == "__main__":
    unittest.main()
