"""A bursty neighbour: keeps CPUs and memory busy in random bursts, until it is stopped.

    with noise_generator.running(): measure()
"""

import contextlib
import random
import subprocess
import sys
import time

import numpy as np

_ARRAY_BYTES = 64 << 20


@contextlib.contextmanager
def running(num_processes, seed):
    """Runs the noise in processes of its own for as long as the body lasts."""
    command = [sys.executable, "-B", "-P", "-s", "-m", "tools.perf.noise_generator"]
    processes = [subprocess.Popen([*command, str(seed + index)]) for index in range(num_processes)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _burst(rng, array):
    """Busy for 20 to 400 ms, half of the bursts in registers, half streaming through memory."""
    end = time.monotonic() + rng.uniform(0.02, 0.4)
    streams = rng.random() < 0.5
    while time.monotonic() < end:
        if streams:
            array += 1.0
        else:
            sum(range(10000))


def main():
    rng = random.Random(int(sys.argv[1]))
    array = np.zeros(_ARRAY_BYTES // 8)
    while True:
        _burst(rng, array)
        time.sleep(rng.uniform(0.02, 0.4))


if __name__ == "__main__":
    main()
