"""Tests of what sanitize_kernels runs and how it judges, with made-up programs in place of tests and sanitizer."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(os.environ["TEST_SRCDIR"]) / "sluice" / sys.argv.pop(1)

LISTED = """Running main() from gmock_main.cc
Shapes/NormCudaTest.
  Forward/f32_3_5  # GetParam() = 24-byte object <01-00>
  Forward/f32_3000_5000  # GetParam() = 24-byte object <01-00>
Shapes/MatmulCudaTest.
  BackwardInput/f32_1_2
  BackwardInputMasksAndSums/f32_1_2
NormCudaDeathTest.
  Dies
Plain.
  Works
"""
TEST_PROGRAM = "#!/bin/sh\n# .nv_fatbin\ncat <<'END'\n" + LISTED + "END\n"

# Writes down its arguments; a program in whose path is `bad` has an error under racecheck.
SANITIZER = """#!/bin/sh
echo "$@" >> "$CALLS"
race() { echo "========= Error: Race reported between Read access at $1+0xa50"; }
summary() { echo "========= RACECHECK SUMMARY: $1 hazards displayed ($1 errors, 0 warnings)"; exit 86; }
case "$*" in
  *racecheck*library_failing*) race nvjet_sm90; echo "[  FAILED  ] Plain.Works"; summary 1;;
  *racecheck*library_and_own*) race nvjet_sm90; race "void sluice::cuda::Sum(int)"; summary 2;;
  *racecheck*library_hidden*) race nvjet_sm90; summary 2;;
  *racecheck*library*) race nvjet_sm90; race nvjet_sm90_b; summary 2;;
  *racecheck*bad*) echo "========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)"; exit 86;;
  *skipping_test*) echo "[  SKIPPED ] Plain.Works"; echo "========= ERROR SUMMARY: 0 errors";;
  *) echo "========= ERROR SUMMARY: 0 errors";;
esac
"""


class SanitizeTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.calls = self.folder / "calls"
        self.write("compute-sanitizer", SANITIZER)

    def write_programs(self, programs):
        """{label: text}."""
        lines = ["commit 0123abc"]
        for label, text in programs.items():
            self.write("bin/" + label.split(":")[-1], text)
            lines.append(f"5ha256  123  {label.split(':')[-1]}  {label}")
        self.write("MANIFEST", "\n".join(lines) + "\n")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run_script(self, *arguments):
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "CALLS": str(self.calls)}
        return subprocess.run([sys.executable, str(SCRIPT), f"--bundle={self.folder}", *arguments],
                              capture_output=True, text=True, check=False, env=environment)

    def test_runs_the_small_tests_of_kernel_programs_under_each_tool(self):
        fails = "#!/bin/sh\nexit 1\n"
        self.write_programs({"//core/kernels/norm:norm_cuda_test": TEST_PROGRAM, "//bench:single": fails,
                             "//core/kernels/cpu:gemm_test": fails})
        done = self.run_script()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        calls = self.calls.read_text().splitlines()
        self.assertEqual(len(calls), 2)
        for call, tool in zip(calls, ["memcheck", "racecheck"]):
            self.assertIn(f"--tool={tool}", call)
            self.assertIn("--gtest_filter=Shapes/NormCudaTest.Forward/f32_3_5:", call)
            self.assertTrue(call.endswith("Shapes/MatmulCudaTest.BackwardInputMasksAndSums/f32_1_2:Plain.Works"), call)
            self.assertEqual("BackwardInput/f32_1_2" in call, tool == "memcheck")
        self.assertEqual(done.stdout.count("clean"), 2)

    def test_reports_what_is_not_clean(self):
        self.write_programs({"//core/kernels/norm:bad_cuda_test": TEST_PROGRAM})
        done = self.run_script()
        self.assertEqual(done.returncode, 1)
        self.assertIn("1 hazard displayed (1 error, 0 warnings)", done.stdout)
        self.assertEqual(done.stdout.count("clean"), 1)

    def test_races_of_libraries_do_not_count(self):
        self.write_programs({"//core/kernels/matmul:library_test": TEST_PROGRAM})
        done = self.run_script()
        self.assertEqual(done.returncode, 0, done.stdout)
        for name in ["library_failing_test", "library_and_own_test", "library_hidden_test"]:
            self.write_programs({f"//core/kernels/matmul:{name}": TEST_PROGRAM})
            done = self.run_script()
            self.assertEqual(done.returncode, 1, name)
            self.assertIn("1 races in nvjet_sm90\n", done.stdout)

    def test_a_skipped_test_is_not_clean(self):
        self.write_programs({"//core/kernels:skipping": TEST_PROGRAM, "//core/kernels:skipping_test": TEST_PROGRAM})
        self.assertEqual(self.run_script("--tools=memcheck").returncode, 1)

    def test_refuses_what_it_does_not_know(self):
        self.write_programs({"//core/kernels/norm:norm_cuda_test": TEST_PROGRAM})
        done = self.run_script("--tools=memchek")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "sanitize_kernels: tool 'memchek' is not one of memcheck, racecheck\n")

    def test_refuses_a_bundle_without_kernel_tests(self):
        self.write_programs({"//bench:single": TEST_PROGRAM})
        done = self.run_script()
        self.assertEqual(done.returncode, 2)
        self.assertIn("has no kernel test to run", done.stderr)


if __name__ == "__main__":
    unittest.main()
