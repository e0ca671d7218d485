"""What the first GPU does while programs run on it: clocks, power, temperature, and memory of each process, by NVML.

    with GpuSampler() as sampler:
        begin_s = time.monotonic()
        ...
        sampler.conditions(begin_s, time.monotonic())
        sampler.peak_process_mib(pid)

Samples are taken every 10 ms on a thread, in a process that does not time anything itself. The names are those of
docs/metrics.md. Without NVML there are no samples, and `source` says why.
"""

import ctypes
import statistics
import threading
import time

PERIOD_S = 0.01
SM, MEMORY = 1, 2
POWER_INSTANT = 186
REASONS = ["gpu_idle", "applications_clocks", "sw_power_cap", "hw_slowdown", "sync_boost", "sw_thermal_slowdown",
           "hw_thermal_slowdown", "hw_power_brake", "display_clocks"]
MAX_PROCESSES = 64


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used_bytes", ctypes.c_ulonglong), ("gpu_instance_id", ctypes.c_uint),
                ("compute_instance_id", ctypes.c_uint)]


class FieldValue(ctypes.Structure):
    """An answer about one field; the value is a union in the original, of which power uses the first four bytes."""

    _fields_ = [("field_id", ctypes.c_uint), ("scope_id", ctypes.c_uint), ("timestamp_us", ctypes.c_longlong),
                ("latency_us", ctypes.c_longlong), ("value_type", ctypes.c_uint), ("result", ctypes.c_int),
                ("value", ctypes.c_uint), ("value_high", ctypes.c_uint)]


class Nvml:
    """The calls that are used; each returns None where the driver does not answer."""

    def __init__(self, library="libnvidia-ml.so.1"):
        self.library = ctypes.CDLL(library)
        if self.library.nvmlInit_v2() != 0:
            raise OSError(f"{library}: it finds no driver")
        self.handle = ctypes.c_void_p()
        if self.library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self.handle)) != 0:
            raise OSError(f"{library}: it finds no GPU")

    def ask(self, name, kind, *arguments):
        value = kind()
        code = getattr(self.library, name)(self.handle, *arguments, ctypes.byref(value))
        return value.value if code == 0 else None

    def text(self, name):
        buffer = ctypes.create_string_buffer(96)
        code = getattr(self.library, name)(self.handle, buffer, len(buffer))
        return buffer.value.decode() if code == 0 else "unknown"

    def driver(self):
        buffer = ctypes.create_string_buffer(96)
        code = self.library.nvmlSystemGetDriverVersion(buffer, len(buffer))
        return buffer.value.decode() if code == 0 else "unknown"

    def process_bytes(self):
        """{pid: bytes}."""
        processes, count = (Process * MAX_PROCESSES)(), ctypes.c_uint(MAX_PROCESSES)
        code = self.library.nvmlDeviceGetComputeRunningProcesses_v3(self.handle, ctypes.byref(count), processes)
        return {p.pid: p.used_bytes for p in processes[:count.value]} if code == 0 else {}

    def power_mw(self):
        """Now; the mean over a second where the driver has no other."""
        instant = FieldValue(field_id=POWER_INSTANT)
        if self.library.nvmlDeviceGetFieldValues(self.handle, 1, ctypes.byref(instant)) == 0 and instant.result == 0:
            return instant.value
        return self.ask("nvmlDeviceGetPowerUsage", ctypes.c_uint)

    def sample(self):
        power = self.power_mw()
        return {
            "sm_clock_mhz": self.ask("nvmlDeviceGetClockInfo", ctypes.c_uint, SM),
            "memory_clock_mhz": self.ask("nvmlDeviceGetClockInfo", ctypes.c_uint, MEMORY),
            "power_w": None if power is None else power / 1000,
            "temperature_c": self.ask("nvmlDeviceGetTemperature", ctypes.c_uint, 0),
            "reasons": self.ask("nvmlDeviceGetCurrentClocksEventReasons", ctypes.c_ulonglong) or 0,
        }


def reason_names(bits):
    return [REASONS[bit] if bit < len(REASONS) else f"bit_{bit}" for bit in range(64) if bits >> bit & 1]


def summarize(samples, max_sm_clock_mhz=None):
    """The conditions over some samples. What holds clocks down counts where they are below the highest."""
    def values(key):
        return [sample[key] for sample in samples if sample[key] is not None]

    found = {"num_condition_samples": len(samples)}
    for name, key, reduce in [("median_sm_clock_mhz", "sm_clock_mhz", statistics.median),
                              ("min_sm_clock_mhz", "sm_clock_mhz", min),
                              ("median_memory_clock_mhz", "memory_clock_mhz", statistics.median),
                              ("median_power_w", "power_w", statistics.median), ("max_power_w", "power_w", max),
                              ("max_temperature_c", "temperature_c", max)]:
        if values(key):
            found[name] = reduce(values(key))
    if max_sm_clock_mhz is not None:
        found["max_sm_clock_mhz"] = max_sm_clock_mhz
    names = [name for sample in samples for name in reason_names(sample["reasons"])
             if (sample["sm_clock_mhz"] or 0) < (max_sm_clock_mhz or float("inf"))]
    for name in sorted(set(names)):
        found["clocks_event_share_" + name] = names.count(name) / len(samples)
    return found


class GpuSampler:
    """Samples while it is open."""

    def __init__(self):
        self.samples = []  # [(monotonic seconds, sample)]
        self.peak_bytes = {}  # by pid
        self.stop = threading.Event()
        try:
            self.nvml, self.source = Nvml(), "NVML"
        except OSError as error:
            self.nvml, self.source = None, f"none: {error}"
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        if self.nvml is not None:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()

    def run(self):
        while not self.stop.wait(PERIOD_S):
            self.samples.append((time.monotonic(), self.nvml.sample()))
            for pid, used_bytes in self.nvml.process_bytes().items():
                self.peak_bytes[pid] = max(used_bytes, self.peak_bytes.get(pid, 0))

    def conditions(self, *windows):
        """Over all samples within the windows, each (begin, end) of time.monotonic()."""
        max_sm_clock_mhz = self.nvml.ask("nvmlDeviceGetMaxClockInfo", ctypes.c_uint, SM)
        return summarize([sample for at_s, sample in list(self.samples)
                          if any(begin_s <= at_s <= end_s for begin_s, end_s in windows)], max_sm_clock_mhz)

    def peak_process_mib(self, pid):
        """The most that any sample saw the process hold; None where the driver does not tell."""
        used_bytes = self.peak_bytes.get(pid)
        return None if used_bytes is None else used_bytes / 2**20
