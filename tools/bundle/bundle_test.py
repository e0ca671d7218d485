"""Tests of what a bundle takes along, without building one: Bazel cannot start itself in a test."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
SCRIPT = pathlib.Path(os.environ["TEST_SRCDIR"]) / "sluice" / sys.argv.pop(1)
PROGRAM = pathlib.Path(os.environ["TEST_SRCDIR"]) / "sluice" / sys.argv.pop(1)
MATRIX = pathlib.Path(os.environ["TEST_SRCDIR"]) / "sluice" / sys.argv.pop(1)


def load_script(path):
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.name, loader))
    loader.exec_module(module)
    return module


bundle = load_script(SCRIPT)
prove_nccl = load_script(SCRIPT.parent / "prove_nccl")


def run_script(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


class ArgumentsTest(unittest.TestCase):
    def test_refuses_an_existing_out(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run_script(f"--out={folder}", "//core/base:all")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, f"bundle: out '{folder}' exists already: name a new one\n")

    def test_refuses_no_targets(self):
        done = run_script("--out=/tmp/new")
        self.assertEqual(done.returncode, 2)
        self.assertIn("targets", done.stderr)


class LibrariesTest(unittest.TestCase):
    def test_takes_other_projects_libraries_and_leaves_the_hosts(self):
        names = set(bundle.bundled_libraries([PROGRAM]))
        self.assertTrue(any(name.startswith("libfmt.so") for name in names), names)
        for name in names:
            self.assertIsNone(bundle.HOST_LIBRARIES.match(name), name)

    def test_leaves_cuda_to_the_host(self):
        for name in ["libcuda.so.1", "libcublasLt.so.13", "libnccl.so.2", "libcudnn_graph.so.9"]:
            self.assertIsNotNone(bundle.HOST_LIBRARIES.match(name), name)

    def test_leaves_the_c_library_to_the_host(self):
        # libmvec reads variables inside of the loader that it was built with.
        for name in ["libc.so.6", "libmvec.so.1", "ld-linux-x86-64.so.2"]:
            self.assertIsNotNone(bundle.HOST_LIBRARIES.match(name), name)

    def test_takes_what_a_host_may_lack(self):
        for name in ["libfmt.so.9", "libbenchmark.so.1", "libopenblas.so.0", "libcurl.so.4"]:
            self.assertIsNone(bundle.HOST_LIBRARIES.match(name), name)


class RunTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        (self.folder / "bin").mkdir()
        program = self.folder / "bin" / "show"
        program.write_text('#!/bin/bash\necho "$LD_LIBRARY_PATH $*"\n')
        (self.folder / "run").write_text(bundle.RUN)
        for path in [program, self.folder / "run"]:
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run_bundle(self, *arguments, library_path):
        environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": library_path}
        return subprocess.run(
            [str(self.folder / "run"), *arguments], env=environment, capture_output=True, text=True, check=False
        )

    def test_the_callers_libraries_come_first(self):
        done = self.run_bundle("show", "--a=b c", library_path="/my/nccl")
        self.assertEqual(done.stdout, f"/my/nccl:{self.folder.resolve()}/lib --a=b c\n")
        done = self.run_bundle("show", library_path="")
        self.assertEqual(done.stdout, f"{self.folder.resolve()}/lib \n")

    def test_names_the_programs_there_are(self):
        done = self.run_bundle("shwo", library_path="")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "run: name one of: show \n")


class GpusTest(unittest.TestCase):
    """How prove_nccl uses the GPUs of a host."""

    def host(self, num_gpus):
        host = prove_nccl.Host.__new__(prove_nccl.Host)
        host.is_gpu, host.visible = True, [str(index) for index in range(num_gpus)]
        return host

    def test_ranks_share_where_there_are_too_few(self):
        for num_gpus, num_ranks, is_shared in [(1, 2, True), (2, 2, False), (2, 3, True), (8, 8, False)]:
            self.assertEqual("--share_gpu" in self.host(num_gpus).flags(num_ranks), is_shared)

    def test_numbers_of_ranks(self):
        for num_gpus, ranks in [(1, [2, 4, 8, 3]), (4, [2, 4, 8, 3]), (6, [2, 4, 8, 3, 6])]:
            self.assertEqual(self.host(num_gpus).default_ranks(), ranks)

    def test_ranks_that_start_at_once_are_limited(self):
        self.assertEqual([self.host(num_gpus).max_starting() for num_gpus in (1, 8)], [4, 32])
        slots = prove_nccl.StartSlots(4)
        slots.take(2)
        slots.take(2)
        has_taken = threading.Event()
        waiting = threading.Thread(target=lambda: (slots.take(8), has_taken.set()))
        waiting.start()
        slots.give_back(2)
        self.assertFalse(has_taken.wait(0.1))
        slots.give_back(2)  # more than the capacity, but alone
        self.assertTrue(has_taken.wait(10))
        waiting.join()

    def test_half_of_a_host_stands_for_a_host(self):
        self.assertEqual(self.host(1).part_as_host(1, 2), ({}, ["--comm=nccl", "--share_gpu"]))
        self.assertEqual(self.host(3).part_as_host(1, 2),
                         ({"CUDA_VISIBLE_DEVICES": "1"}, ["--comm=nccl", "--share_gpu"]))
        self.assertEqual(self.host(8).part_as_host(1, 2),
                         ({"CUDA_VISIBLE_DEVICES": "4,5,6,7", "NCCL_HOSTID": "host-1"}, ["--comm=nccl"]))


class LaunchTest(unittest.TestCase):
    """Several ranks of a bundle's programs, on CPUs."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name).resolve()
        (self.folder / "bin").mkdir()
        (self.folder / "MANIFEST").write_text("commit c0ffee\n")
        shutil.copy(MATRIX, self.folder / "bin" / "matrix")
        show = self.folder / "bin" / "show"
        show.write_text('#!/bin/bash\necho "$LD_LIBRARY_PATH $*"\n')
        show.chmod(0o755)
        bundle.add_scripts(self.folder)

    def run_script(self, *arguments):
        environment = {**os.environ, "HOME": str(self.folder), "TMPDIR": "/tmp"}
        environment.pop("LD_LIBRARY_PATH", None)
        return subprocess.run([str(self.folder / arguments[0]), *arguments[1:]], env=environment, cwd=self.folder,
                              capture_output=True, text=True, check=False)

    def test_ranks_find_the_bundles_libraries(self):
        done = self.run_script("launch", "--ranks_per_host=2", "--", "show", "--a=b c")
        self.assertEqual(done.stdout, f"{self.folder}/lib --a=b c\n" * 2, done.stderr)

    def test_names_the_programs_there_are(self):
        for name in ["chekc", "//correctness:check"]:
            done = self.run_script("launch", "--ranks_per_host=2", "--", name)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stderr, f"launch: '{name}' is not a program of this bundle: matrix, show\n")

    def prove(self, *arguments):
        done = self.run_script("prove_nccl", "--comm=mpi", *arguments)
        document = json.loads((self.folder / "prove_nccl.json").read_text()) if done.returncode < 2 else None
        return done, document

    def test_proof_of_each_group(self):
        done, document = self.prove("--ranks=2", "--rows=gpipe.*projection|one_f_one_b.*projection|dropped|Ring")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(document["conditions"]["commit"], "c0ffee")
        results = {(row["group"], row["row"]): row["result"] for row in document["rows"]}
        for row in [
            ("2 ranks", "gpipe/p:2/f32/projection"),
            ("2 ranks", "one_f_one_b/p:2/f64/dropped_layer"),
            ("2 ranks", "conformance/RingOfMessages"),
            ("disagreements, 2 ranks", "SendOfAnotherCount"),
            ("faults, 3 ranks", "kill in calls"),
            ("faults, 3 ranks", "stop in calls"),
            ("faults, 3 ranks", "exit in calls"),
        ]:
            self.assertEqual(results.get(row), "pass", f"{row}: {results}")
        self.assertEqual(set(results.values()), {"pass"})
        self.assertIn("| gpipe/p:2 | pass |", (self.folder / "prove_nccl.md").read_text())

    def test_what_has_no_time_is_left_out_and_nothing_passes(self):
        done, document = self.prove("--ranks=2", "--groups=^2 ranks", "--budget_s=1")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual({row["result"] for row in document["rows"]}, {"left out"})

    def test_a_program_that_dies_fails_its_row(self):
        (self.folder / "bin" / "matrix").write_text(
            "#!/bin/bash\n[[ $* == *--list* ]] && echo a/b/c && exit\necho '{\"begin\":\"a/b/c\"}'\n"
            "echo 'a.cc:7: [rank 0] check failed: x (1 vs. 2)' >&2; exit 3\n")
        done, document = self.prove("--ranks=2", "--groups=^2 ranks")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual([row["result"] for row in document["rows"]], ["FAIL"])
        self.assertIn("check failed: x (1 vs. 2)", document["rows"][0]["detail"])
        self.assertIn("a.cc:7: [rank 0] check failed: x (1 vs. 2)\n", document["rows"][0]["stderr"])
        self.assertLessEqual(len(document["rows"][0]["stderr"]), 4096)
        self.assertIn("0 of 1 rows passed, 1 failed, 0 left out", done.stdout)

    def test_refusals(self):
        for arguments, text in [(["--ranks=1"], "2 ranks or more"), (["--ranks=x"], "--ranks=x"),
                                (["--rows=("], "--rows"), (["--groups=none"], "matches no group")]:
            done = self.run_script("prove_nccl", "--comm=mpi", *arguments)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
