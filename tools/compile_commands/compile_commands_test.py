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


if __name__ == "__main__":
    unittest.main()
