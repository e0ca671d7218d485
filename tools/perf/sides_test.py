"""Sides from folders of binaries, and from git refs with a stand-in for Bazel."""

import os
import re
import subprocess
import tempfile
import unittest

from tools.perf import fakes, sides
from tools.perf.errors import InputError

# Builds by copying the file programs/<name>, so that what a side holds shows which commit it was built from.
_BAZEL = """#!/bin/bash
echo "$PWD: $*" >> "$BAZEL_LOG"
case " $* " in
  *" query "*) grep -h '' labels ;;
  *" info "*) echo "$PWD/out" ;;
  *" build "*) rm -rf out && cp -r programs out ;;
esac
"""


class BundleTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.options = sides.BuildOptions(self.folder, os.path.join(self.folder, "cache"), ())

    def test_executables_are_targets_named_by_their_path(self):
        fakes.write_benchmark(self.folder, "//bench/schemes:gpipe")
        fakes.write_benchmark(self.folder, "//bench/schemes:libmpi.so.40")
        fakes.write_calibrate(self.folder)
        with open(os.path.join(self.folder, "README"), "w", encoding="ascii") as file:
            file.write("no program")
        side = sides.prepare("base", self.folder, None, self.options)
        self.assertEqual(list(side.programs), ["//bench/schemes:gpipe"])
        self.assertTrue(side.calibrate[0].endswith("bench/harness/calibrate"))

    def test_pattern_selects_but_keeps_the_calibration(self):
        for label in ("//bench/a:x", "//bench/b:x"):
            fakes.write_benchmark(self.folder, label)
        fakes.write_calibrate(self.folder)
        side = sides.prepare("base", self.folder, re.compile("b:x"), self.options)
        self.assertEqual(list(side.programs), ["//bench/b:x"])
        self.assertTrue(side.calibrate)


    def test_a_bundle_starts_what_its_manifest_names(self):
        with open(os.path.join(self.folder, "MANIFEST"), "w", encoding="ascii") as file:
            file.write("commit c0ffee\nabc  12  gpipe  //bench/schemes:gpipe\nabc  12  calibrate  " + sides.CALIBRATE)
        side = sides.prepare("base", self.folder, re.compile("."), self.options)
        run = os.path.join(self.folder, "run")
        self.assertEqual(side.programs, {"//bench/schemes:gpipe": [run, "gpipe"]})
        self.assertEqual(side.calibrate, [run, "calibrate"])
        with open(os.path.join(self.folder, "MANIFEST"), "a", encoding="ascii") as file:
            file.write("\nbroken line")
        with self.assertRaisesRegex(InputError, "MANIFEST, line 4"):
            sides.prepare("base", self.folder, None, self.options)


class BuildTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.repository = os.path.join(folder.name, "repository")
        self.log = os.path.join(folder.name, "log")
        self.options = sides.BuildOptions(self.repository, os.path.join(folder.name, "cache"), ("--jobs=1",))
        os.makedirs(os.path.join(folder.name, "bin"))
        bazel = os.path.join(folder.name, "bin", "bazel")
        self.write(bazel, _BAZEL)
        os.chmod(bazel, 0o755)
        old_path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", old_path)
        os.environ.update(PATH=os.path.dirname(bazel) + ":" + old_path, BAZEL_LOG=self.log, HOME=folder.name)
        os.makedirs(self.repository)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("WORKSPACE", "")
        self.write(".gitignore", "/out\n/user.bazelrc\n")
        self.write("user.bazelrc", "")
        self.write("labels", "//bench:old\n//bench/harness:calibrate\n")
        self.commit("one")

    def write(self, path, text):
        path = os.path.join(self.repository, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def git(self, *arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        return subprocess.run(["git", *identity, "-C", self.repository, *arguments], check=True, capture_output=True,
                              text=True).stdout.strip()

    def commit(self, text):
        self.write("programs/bench/old", text)
        self.write("programs/bench/new", text)
        self.write("programs/bench/harness/calibrate", text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", text)

    def content(self, side, label):
        with open(side.programs[label][0], encoding="utf-8") as file:
            return file.read()

    def test_a_clone_elsewhere_shares_the_cache(self):
        def built(checkout):
            options = sides.BuildOptions(checkout, self.options.cache_dir, self.options.bazel_flags)
            return self.content(sides.prepare("base", "main", re.compile("."), options), "//bench:old")

        first, second = self.repository, self.repository + "_clone"
        self.assertEqual(built(first), "one")
        subprocess.run(["git", "clone", "--quiet", first, second], check=True)
        # The second clone has a commit that the first lacks; then it is gone.
        self.repository = second
        self.commit("two")
        self.assertEqual(built(second), "two")
        os.rename(second, first + "_moved")
        self.assertEqual(built(first), "one")

    def test_two_refs_are_two_builds_with_the_same_flags(self):
        self.write("labels", "//bench:old\n//bench:new\n//bench/harness:calibrate\n")
        self.commit("two")
        base = sides.prepare("base", "HEAD~1", re.compile("."), self.options)
        cand = sides.prepare("cand", "main", re.compile("."), self.options)
        self.assertEqual(sorted(base.programs), ["//bench:old"])
        self.assertEqual(sorted(cand.programs), ["//bench:new", "//bench:old"])
        self.assertEqual(self.content(base, "//bench:old"), "one")
        self.assertEqual(self.content(cand, "//bench:old"), "two")
        self.assertEqual(cand.commit, self.git("rev-parse", "HEAD"))
        with open(self.log, encoding="utf-8") as file:
            builds = [line.split(": ", 1)[1] for line in file if " build " in line]
        flags = [re.sub(r" //.*", "", line.strip()) for line in builds]
        self.assertEqual(len(flags), 2)
        self.assertEqual(flags[0], flags[1])
        self.assertIn("user.bazelrc build --jobs=1 --compilation_mode=opt", flags[0])

    def test_a_worktree_is_used_again_for_another_commit(self):
        sides.prepare("base", "HEAD", re.compile("."), self.options)
        self.commit("two")
        side = sides.prepare("base", "HEAD", re.compile("."), self.options)
        self.assertEqual(self.content(side, "//bench:old"), "two")

    def test_a_checkout_is_built_in_place_with_its_changes(self):
        self.write("programs/bench/old", "uncommitted")
        side = sides.prepare("cand", self.repository, re.compile("."), self.options)
        self.assertEqual(self.content(side, "//bench:old"), "uncommitted")
        self.assertTrue(side.commit.endswith("-dirty"))

    def test_without_a_pattern_the_tagged_are_asked_for(self):
        sides.prepare("cand", "HEAD", None, self.options)
        with open(self.log, encoding="utf-8") as file:
            query = next(line for line in file if " query " in line)
        self.assertIn("perf_target", query)

    def test_unknown_ref(self):
        for ref in ("no_such", "--help", "HEAD~99"):
            with self.assertRaisesRegex(InputError, "neither a folder nor a git ref"):
                sides.prepare("base", ref, None, self.options)


if __name__ == "__main__":
    unittest.main()
