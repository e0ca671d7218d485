"""Machine classes, steal, and fitness."""

import os
import tempfile
import unittest
import unittest.mock

from tools.perf import fakes, machine
from tools.perf.errors import InputError

_FACTS = {"cpu_model": "Intel(R) Xeon(R) Processor", "num_cpus": 2, "hypervisor": "KVM", "gpu": "none"}


class MachineTest(unittest.TestCase):
    def test_class_is_made_of_what_decides_speed(self):
        self.assertEqual(machine.machine_class(_FACTS), "intel_r_xeon_r_processor-2_cpus-kvm")
        self.assertEqual(
            machine.machine_class({**_FACTS, "hypervisor": "none", "gpu": "8 x NVIDIA H200"}),
            "intel_r_xeon_r_processor-2_cpus-bare-8_x_nvidia_h200")

    def test_facts_of_this_machine(self):
        facts = machine.facts()
        self.assertEqual(facts["num_cpus"], len(os.sched_getaffinity(0)))
        self.assertRegex(machine.machine_class(facts), r"^[a-z0-9_-]+$")

    def test_steal_is_its_share_of_all_ticks_since_the_start(self):
        with tempfile.NamedTemporaryFile("w+", suffix="stat") as file:
            def write(line):
                file.seek(0)
                file.truncate()
                file.write(line)
                file.flush()
            write("cpu  100 0 50 1000 0 0 0 10 99 0\n")
            meter = machine.StealMeter(file.name)
            self.assertEqual(meter.share(), 0)
            write("cpu  150 0 50 1025 0 0 0 35 99 0\n")
            self.assertEqual(meter.share(), 0.25)

    def test_own_work_is_not_that_of_others(self):
        ticks = os.sysconf("SC_CLK_TCK")
        with tempfile.NamedTemporaryFile("w+", suffix="stat") as file:
            def write(user_s, system_s):
                file.seek(0)
                file.truncate()
                file.write(f"cpu  {user_s * ticks} 0 {system_s * ticks} 1000 0 0 0 10 99 0\n")
                file.flush()
            seconds, own_s = iter([100.0, 110.0, 120.0]), iter([1.0, 4.0, 21.0])
            write(50, 5)
            meter = machine.OthersMeter(file.name, lambda: next(seconds), lambda: next(own_s))
            # Ten seconds: all used 13 s, this process 3 s of them.
            write(60, 8)
            self.assertAlmostEqual(meter.num_cpus(), 1.0)
            # What was counted a tick too late is no negative number.
            write(60, 9)
            self.assertEqual(meter.num_cpus(), 0.0)

    def test_fitness_limits(self):
        even = [100.0, 101.0] * 10
        self.assertFalse(machine.judge_fitness(even, 0.2).is_noisy)
        self.assertIn("hypervisor takes 21%", machine.judge_fitness(even, 0.21).problem)
        self.assertIn("varies by 29%", machine.judge_fitness([100.0, 180.0] * 10, 0).problem)

    def test_fitness_runs_twenty_processes(self):
        with tempfile.TemporaryDirectory() as folder:
            fakes.write_calibrate(folder, noise=0.01)
            fitness = machine.measure_fitness([os.path.join(folder, "bench/harness/calibrate")])
        self.assertEqual(fitness.num_processes, 20)
        self.assertFalse(fitness.is_noisy and "varies" in fitness.problem)
        self.assertGreater(fitness.coefficient_of_variation, 0.003)

    def test_facts_do_not_follow_the_language(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "lscpu")
            with open(path, "w", encoding="ascii") as file:
                file.write("""#!/bin/bash
field=Modellname
[[ ${LC_ALL:-} == C ]] && field="Model name"
echo '{"lscpu": [{"field": "'"$field"':", "data": "Xeon"}]}'
""")
            os.chmod(path, 0o755)
            environment = {"PATH": f"{folder}:{os.environ['PATH']}", "LC_ALL": "de_DE.UTF-8"}
            with unittest.mock.patch.dict(os.environ, environment):
                self.assertEqual(machine.facts()["cpu_model"], "Xeon")

    def test_a_calibration_without_a_time_is_not_fit(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "calibrate")
            for times in ("[0, 0]", "[NaN]", "[]", '["x"]'):
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"#!/bin/bash\necho '{{\"calibration_cpu_ns\": {times}}}'\n")
                os.chmod(path, 0o755)
                with self.assertRaisesRegex(InputError, "gave no time"):
                    machine.measure_fitness([path])

    def test_a_calibration_that_fails(self):
        for program in ("/bin/false", "/bin/true", "/no/such/program"):
            with self.assertRaisesRegex(InputError, "gave no time"):
                machine.measure_fitness([program])


if __name__ == "__main__":
    unittest.main()
