#!/usr/bin/python3
"""launch_test.py LAUNCH PROGRAM: command lines, and what is left after each way to end a run."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import processes

LAUNCH, PROGRAM = sys.argv[1], os.path.abspath(sys.argv[2])
GONE_SECONDS = 2
NUM_RANKS = 3


def launch(*arguments):
    return subprocess.run([LAUNCH, *arguments], capture_output=True, text=True, timeout=60)


class CommandLines(unittest.TestCase):
    def test_one_host(self):
        result = launch("--ranks_per_host=3", "--dry_run", "--", PROGRAM, "--model=test")
        self.assertEqual(result.returncode, 0, result.stderr)
        expected = r"^mpirun -n 3 .*OVERSUBSCRIBE.* --mca plm isolated .*/mpi_program --model=test$"
        self.assertRegex(result.stdout, expected)

    def test_many_hosts(self):
        result = launch("--hosts=a,b", "--ranks_per_host=4", "--rsh=true agent", "--dry_run", "--", PROGRAM)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("-n 8 --host a:4,b:4 --map-by ppr:4:node:OVERSUBSCRIBE", result.stdout)
        self.assertIn("plm_rsh_agent 'true agent'", result.stdout)

    def test_hosts_with_counts_users_and_addresses(self):
        result = launch("--hosts=a:3,b:2", "--rsh=true", "--dry_run", "--", PROGRAM)
        self.assertIn("-n 5 --host a:3,b:2 --map-by slot:OVERSUBSCRIBE", result.stdout, result.stderr)
        result = launch("--hosts=me@a:2,[fe80::1%eth0]:2,::1", "--rsh=true", "--dry_run", "--", PROGRAM)
        self.assertRegex(result.stdout, r"^mpirun -n \d+ --hostfile ", result.stderr)

    def test_settings_of_nccl_go_to_other_hosts(self):
        os.environ["NCCL_SHM_DISABLE"] = "1"
        os.environ["CUDA_VISIBLE_DEVICES"] = "3"
        try:
            result = launch("--hosts=a,b", "--ranks_per_host=2", "--rsh=true", "--dry_run", "--", PROGRAM)
        finally:
            del os.environ["NCCL_SHM_DISABLE"], os.environ["CUDA_VISIBLE_DEVICES"]
        self.assertIn(" -x NCCL_SHM_DISABLE ", result.stdout)
        self.assertNotIn("CUDA_VISIBLE_DEVICES", result.stdout)
        self.assertNotIn(" -x ", launch("--ranks_per_host=2", "--dry_run", "--", PROGRAM).stdout)

    def test_ranks_share_gpus(self):
        result = launch("--ranks_per_gpu=4", "--gpus_per_host=2", "--dry_run", "--", PROGRAM, "--comm=nccl")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"^mpirun -n 8 .*/mpi_program --comm=nccl --share_gpu$")
        flags = ["--hosts=a,b", "--ranks_per_gpu=2", "--gpus_per_host=1", "--rsh=true", "--dry_run"]
        result = launch(*flags, "--", PROGRAM)
        self.assertIn("-n 4 --host a:2,b:2 --map-by ppr:2:node:OVERSUBSCRIBE", result.stdout)

    def test_one_rank_for_each_gpu_shares_nothing(self):
        result = launch("--ranks_per_gpu=1", "--gpus_per_host=8", "--dry_run", "--", PROGRAM, "--comm=nccl")
        self.assertRegex(result.stdout, r"^mpirun -n 8 .*/mpi_program --comm=nccl$")

    def test_gpus_are_those_that_are_visible(self):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        try:
            result = launch("--ranks_per_gpu=3", "--dry_run", "--", PROGRAM)
        finally:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        self.assertEqual((result.returncode, "shows no NVIDIA GPU" in result.stderr), (2, True), result.stderr)
        for visible, num_ranks in [("0", 3), ("0,2", 6), ("GPU-5a,GPU-7b,-1,3", 6)]:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible
            try:
                result = launch("--ranks_per_gpu=3", "--dry_run", "--", PROGRAM)
            finally:
                del os.environ["CUDA_VISIBLE_DEVICES"]
            self.assertTrue(result.stdout.startswith(f"mpirun -n {num_ranks} "), result.stdout + result.stderr)

    def test_terminal_that_lacks_a_character(self):
        environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
        result = subprocess.run([LAUNCH, "--ranks_per_host=2", "--dry_run", "--", PROGRAM, "--json_out=\u00e9.json"],
                                capture_output=True, text=True, timeout=60, env=environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("\\xe9.json", result.stdout)

    def test_bazel_target(self):
        result = launch("--ranks_per_host=2", "--dry_run", "--", "//bench:seqpipe", "--n_slices=8")
        self.assertRegex(result.stdout, r"/bazel-bin/bench/seqpipe --n_slices=8$")

    def test_bad_input_is_one_line_and_exit_2(self):
        for arguments, text in [
            (["--ranks_per_host=2"], "no program"),
            (["--ranks_per_host=2", "--"], "no program"),
            (["--ranks_per_host=0", "--", PROGRAM], "--ranks_per_host=0"),
            (["--ranks_per_host=-1", "--", PROGRAM], "--ranks_per_host=-1"),
            (["--ranks_per_host=1e9", "--", PROGRAM], "--ranks_per_host=1e9"),
            (["--ranks_per_host= 8", "--", PROGRAM], "--ranks_per_host= 8"),
            (["--ranks=2", "--", PROGRAM], "--ranks=2"),
            (["--ranks_per_gpu=0", "--", PROGRAM], "--ranks_per_gpu=0"),
            (["--ranks_per_gpu=2", "--gpus_per_host=x", "--", PROGRAM], "--gpus_per_host=x"),
            (["--ranks_per_gpu=2", "--ranks_per_host=2", "--", PROGRAM], "both"),
            (["--gpus_per_host=2", "--", PROGRAM], "--gpus_per_host is for --ranks_per_gpu"),
            (["--ranks_per_gpu=40000", "--gpus_per_host=40000", "--", PROGRAM], "65536"),
            (["--hosts=a,,b", "--", PROGRAM], "--hosts"),
            (["--hosts=a;reboot", "--", PROGRAM], "--hosts"),
            (["--hosts=a,a", "--", PROGRAM], "twice"),
            (["--hosts=a:0,b", "--", PROGRAM], "--hosts=0"),
            (["--hosts=a:2,b", "--ranks_per_host=2", "--", PROGRAM], "count of its own"),
            (["--hosts=a,b", "--rsh=no-such-program", "--", PROGRAM], "--rsh=no-such-program is not a program"),
            (["--", "/no/such/program"], "/no/such/program"),
        ]:
            result = launch(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
            self.assertIn(text, result.stderr)

    def test_another_mpi_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            other = os.path.join(folder, "mpirun")
            with open(other, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho HYDRA build details\n")
            os.chmod(other, 0o755)
            env = {**os.environ, "PATH": folder + ":" + os.environ["PATH"]}
            command = [LAUNCH, "--ranks_per_host=2", "--", PROGRAM]
            result = subprocess.run(command, capture_output=True, text=True, env=env)
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
        self.assertIn("is not Open MPI's mpirun but says 'HYDRA build details'", result.stderr)

    def test_descriptor_limits(self):
        run = f"{LAUNCH} --ranks_per_host=8 -- /bin/true"
        result = subprocess.run(["bash", "-c", f"ulimit -n 48; {run}"], capture_output=True, text=True, timeout=60)
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
        self.assertIn("8 ranks on a host need 128 open files, and ulimit -Hn allows 48", result.stderr)
        result = subprocess.run(["bash", "-c", f"ulimit -Sn 48; {run}"], capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_ranks_read_input_only_where_it_is_given_to_them(self):
        loop = f"while read n; do {LAUNCH} %s --ranks_per_host=1 -- /bin/cat; echo $n; done"
        for flag, expected in [("", "1\n2\n"), ("--stdin", "2\n1\n")]:
            command = ["bash", "-c", loop % flag]
            result = subprocess.run(command, input="1\n2\n", capture_output=True, text=True, timeout=60)
            self.assertEqual(result.stdout, expected, result.stderr)

    def test_exit_code_and_output_are_the_programs(self):
        result = launch("--ranks_per_host=2", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual(result.returncode, 7)
        self.assertIn("out\n", result.stdout)
        self.assertTrue(result.stderr.startswith("err\n"), result.stderr)

    def test_the_programs_error_comes_before_the_texts_of_open_mpi(self):
        library = "[host-1:00079] Read -1, expected 4096, errno = 3"
        script = f"echo '{library}' >&2; echo 'error: rank 1 was killed' >&2; exit 7"
        for options in [[], ["--tag_output"]]:
            result = launch("--ranks_per_host=1", *options, "--", "/bin/sh", "-c", script)
            lines = [line.split("<stderr>:")[-1] for line in result.stderr.splitlines()]
            self.assertEqual(lines[:2], ["error: rank 1 was killed", library], result.stderr)

    def test_tagged_output(self):
        result = launch("--ranks_per_host=2", "--tag_output", "--", "/bin/echo", "hello")
        self.assertRegex(result.stdout, r"\[1,0\]<stdout>:hello")
        self.assertRegex(result.stdout, r"\[1,1\]<stdout>:hello")


class Endings(unittest.TestCase):
    """F16: whichever way a run is ended, no rank outlives it."""

    def start(self, prefix=()):
        run = subprocess.Popen(
            [*prefix, LAUNCH, f"--ranks_per_host={NUM_RANKS}", "--", PROGRAM, "fault", "run", "-1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        pids = [int(re.fullmatch(r"pid (\d+)\n", run.stdout.readline())[1]) for _ in range(NUM_RANKS)]
        # In the midst of its steps.
        time.sleep(0.3)
        self.assertTrue(all(processes.is_alive(pid) for pid in pids))
        return run, pids

    def check_end(self, run, pids, exit_code):
        self.assertTrue(processes.wait_gone(pids, GONE_SECONDS), "ranks outlive their launcher")
        self.assertEqual(run.wait(timeout=10), exit_code)
        run.stdout.close()
        run.stderr.close()

    def test_interrupt(self):
        run, pids = self.start()
        run.send_signal(signal.SIGINT)
        self.check_end(run, pids, 130)

    def test_terminate(self):
        run, pids = self.start()
        run.send_signal(signal.SIGTERM)
        self.check_end(run, pids, 143)

    def test_kill_the_launcher(self):
        before = set(os.listdir("/dev/shm"))
        run, pids = self.start()
        self.assertTrue(set(os.listdir("/dev/shm")) - before)
        run.kill()
        self.check_end(run, pids, -signal.SIGKILL)
        end = time.monotonic() + 5
        while set(os.listdir("/dev/shm")) - before and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(set(os.listdir("/dev/shm")) - before, set())

    def test_a_signal_that_is_ignored_stays_ignored(self):
        run, pids = self.start(["nohup"])
        run.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        self.assertTrue(all(processes.is_alive(pid) for pid in pids))
        run.send_signal(signal.SIGTERM)
        self.check_end(run, pids, 143)

    def test_kill_mpirun(self):
        run, pids = self.start()
        (mpirun,) = processes.children_of(run.pid)
        os.kill(mpirun, signal.SIGKILL)
        self.check_end(run, pids, 128 + signal.SIGKILL)

    def test_kill_a_rank_from_outside(self):
        run, pids = self.start()
        os.kill(pids[1], signal.SIGKILL)
        first_line = run.stderr.readline()
        self.assertRegex(first_line, r"rank \d was killed by signal 9 \(Killed\) at step \d+")
        self.assertTrue(processes.wait_gone(pids, 5))
        self.assertEqual(run.wait(timeout=10), 137)
        run.stdout.close()
        run.stderr.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
