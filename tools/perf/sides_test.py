"""Sides from folders of binaries, and from git refs with a stand-in for Bazel."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import unittest.mock

from tools.perf import builds, fakes, sides
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
        self.cache = builds.Cache(os.path.join(self.folder, "cache"), self.folder)

    def test_executables_are_targets_named_by_their_path(self):
        fakes.write_benchmark(self.folder, "//bench:gpipe")
        fakes.write_benchmark(self.folder, "//bench:libmpi.so.40")
        fakes.write_calibrate(self.folder)
        with open(os.path.join(self.folder, "README"), "w", encoding="ascii") as file:
            file.write("no program")
        side = sides.prepare("base", self.folder, None, self.cache)
        self.assertEqual(list(side.programs), ["//bench:gpipe"])
        self.assertTrue(side.calibrate[0].endswith("bench/harness/calibrate"))

    def test_pattern_selects_but_keeps_the_calibration(self):
        for label in ("//bench/a:x", "//bench/b:x"):
            fakes.write_benchmark(self.folder, label)
        fakes.write_calibrate(self.folder)
        side = sides.prepare("base", self.folder, re.compile("b:x"), self.cache)
        self.assertEqual(list(side.programs), ["//bench/b:x"])
        self.assertTrue(side.calibrate)


    def test_a_bundle_starts_what_its_manifest_names(self):
        with open(os.path.join(self.folder, "MANIFEST"), "w", encoding="ascii") as file:
            file.write("commit c0ffee\nabc  12  gpipe  //bench:gpipe\nabc  12  calibrate  " + sides.CALIBRATE)
        side = sides.prepare("base", self.folder, re.compile("."), self.cache)
        run = os.path.join(self.folder, "run")
        self.assertEqual(side.programs, {"//bench:gpipe": [run, "gpipe"]})
        self.assertEqual(side.calibrate, [run, "calibrate"])
        with open(os.path.join(self.folder, "MANIFEST"), "a", encoding="ascii") as file:
            file.write("\nbroken line")
        with self.assertRaisesRegex(InputError, "MANIFEST, line 4"):
            sides.prepare("base", self.folder, None, self.cache)


class BuildTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.repository = os.path.join(folder.name, "repository")
        self.log = os.path.join(folder.name, "log")
        self.cache = builds.Cache(os.path.join(folder.name, "cache"), self.repository)
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
            cache = builds.Cache(self.cache.folder, checkout)
            return self.content(sides.prepare("base", "main", re.compile("."), cache), "//bench:old")

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
        base = sides.prepare("base", "HEAD~1", re.compile("."), self.cache, ("--jobs=1",))
        cand = sides.prepare("cand", "main", re.compile("."), self.cache, ("--jobs=1",))
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
        self.assertRegex(flags[0], r"user.bazelrc --output_base=\S+ --max_idle_secs=\d+ build --jobs=1 "
                                   "--compilation_mode=opt$")

    def test_a_worktree_is_used_again_for_another_commit(self):
        sides.prepare("base", "HEAD", re.compile("."), self.cache)
        self.commit("two")
        side = sides.prepare("base", "HEAD", re.compile("."), self.cache)
        self.assertEqual(self.content(side, "//bench:old"), "two")

    def test_a_worktree_that_a_kill_left_locked_is_made_anew(self):
        sides.prepare("base", "HEAD", re.compile("."), self.cache)
        self.write(os.path.join(self.repository, ".git/worktrees/worktree/index.lock"), "")
        self.commit("two")
        side = sides.prepare("base", "HEAD", re.compile("."), self.cache)
        self.assertEqual(self.content(side, "//bench:old"), "two")

    def test_clean_leaves_nothing_and_the_next_run_starts_afresh(self):
        side = sides.prepare("base", "HEAD", re.compile("."), self.cache)
        self.assertGreater(self.cache.size_bytes(), 4096)
        output_base = os.path.join(self.cache.folder, "bazel")
        os.makedirs(os.path.join(output_base, "read_only"), mode=0o500)
        self.cache.clean()
        self.assertEqual(os.listdir(self.cache.folder), [])
        self.assertNotIn("worktree", self.git("worktree", "list"))
        with open(self.log, encoding="utf-8") as file:
            self.assertIn(f"--output_base={output_base} shutdown", file.read())
        side = sides.prepare("base", "HEAD", re.compile("."), self.cache)
        self.assertEqual(self.content(side, "//bench:old"), "one")
        self.cache.clean()
        self.cache.clean()

    def test_binaries_of_another_selection_do_not_pile_up(self):
        self.write("labels", "//bench:old\n//bench:new\n//bench/harness:calibrate\n")
        self.commit("two")
        sides.prepare("base", "HEAD", re.compile("."), self.cache)
        old = sides.prepare("base", "HEAD", re.compile("old"), self.cache)
        self.assertCountEqual(os.listdir(os.path.dirname(old.programs["//bench:old"][0])), ["old", "harness"])

    def test_a_build_that_fails_names_the_side(self):
        self.git("rm", "-rq", "programs")
        self.git("commit", "--quiet", "-m", "broken")
        with self.assertRaisesRegex(InputError, r"^base \(HEAD\): bazel build failed in .*\(exit code 1\)"):
            sides.prepare("base", "HEAD", re.compile("."), self.cache)

    def test_a_build_that_fails_says_how_full_the_disk_is(self):
        self.git("rm", "-rq", "programs")
        self.git("commit", "--quiet", "-m", "broken")
        usage = shutil.disk_usage(self.repository)._replace(free=3 << 20)
        with unittest.mock.patch("shutil.disk_usage", return_value=usage):
            with self.assertRaisesRegex(InputError, "the disk of .* has 3 MiB left"):
                sides.prepare("base", "HEAD", re.compile("."), self.cache)

    def test_uncommitted_changes_that_are_left_out_are_named(self):
        def said(ref):
            with contextlib.redirect_stderr(io.StringIO()) as err:
                sides.prepare("cand", ref, re.compile("."), self.cache)
            return err.getvalue()

        self.assertNotIn("uncommitted", said("HEAD"))
        self.write("programs/bench/old", "changed")
        self.assertIn("cand is 'HEAD' as committed, without the uncommitted changes", said("HEAD"))
        self.commit("two")
        self.write("programs/bench/old", "changed again")
        self.assertNotIn("uncommitted", said("HEAD~1"))

    def test_a_checkout_is_built_in_place_with_its_changes(self):
        self.write("programs/bench/old", "uncommitted")
        side = sides.prepare("cand", self.repository, re.compile("."), self.cache)
        self.assertEqual(self.content(side, "//bench:old"), "uncommitted")
        self.assertTrue(side.commit.endswith("-dirty"))

    def test_without_a_pattern_the_tagged_are_asked_for(self):
        sides.prepare("cand", "HEAD", None, self.cache)
        with open(self.log, encoding="utf-8") as file:
            query = next(line for line in file if " query " in line)
        self.assertIn("perf_target", query)
        # A grid search has a label under //bench too, and no --json_out.
        self.assertIn("rdeps(//bench/..., //bench/harness:result_flags)", query)

    def test_unknown_ref(self):
        for ref in ("no_such", "--help", "HEAD~99"):
            with self.assertRaisesRegex(InputError, "neither a folder nor a git ref"):
                sides.prepare("base", ref, None, self.cache)


if __name__ == "__main__":
    unittest.main()
