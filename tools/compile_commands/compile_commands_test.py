"""The compilation database has each of the project's files once, as an editor asks for it."""

import unittest

from tools.compile_commands import compile_commands


def action(source, *options):
    return {"arguments": ["/usr/bin/gcc", *options, "-c", source, "-o", "x.o"]}


class CompileCommandsTest(unittest.TestCase):
    def test_one_entry_a_file_of_the_project(self):
        actions = [
            action("b/b.cc", "-fno-canonical-system-headers"),
            action("b/b.cc", "-fPIC"),
            action("a/a.cc"),
            action("external/x/x.cc"),
            action("bazel-out/k8-opt/bin/a/stamp.cc"),
        ]
        entries = compile_commands.commands(actions, "/root_of_execution", "/repository")
        self.assertEqual([entry["file"] for entry in entries], ["/repository/a/a.cc", "/repository/b/b.cc"])
        self.assertEqual(entries[1]["arguments"], ["/usr/bin/gcc", "-c", "b/b.cc", "-o", "x.o"])
        self.assertEqual(entries[1]["directory"], "/root_of_execution")

    def test_nvcc_becomes_clang_which_compiles_the_host_code(self):
        nvcc = "/opt/cuda/bin/nvcc --objdir-as-tempdir -std=c++20 -c -x cu -Werror=all-warnings -ccbin /usr/bin/gcc"
        options = " -gencode arch=compute_80,code=sm_80 -O3 -DX=1 -Xcompiler -Wall -Ia -isystem b k/k.cu -o k.o"
        entries = compile_commands.commands([{"arguments": (nvcc + options).split()}], "/root_of_execution", "/r")
        self.assertEqual([entry["file"] for entry in entries], ["/r/k/k.cu"])
        clang = "clang++ -x cuda --cuda-host-only --cuda-path=/opt/cuda -Wno-unknown-cuda-version -std=c++20 -c"
        self.assertEqual(" ".join(entries[0]["arguments"]), clang + " -O3 -DX=1 -Ia -isystem b k/k.cu -o k.o")


if __name__ == "__main__":
    unittest.main()
