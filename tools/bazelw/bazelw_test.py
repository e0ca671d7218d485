"""bazelw chooses a Bazel that reads WORKSPACE, gives it the flags it needs, and installs only what is missing.

Each case runs bazelw with a PATH of one folder: fake programs, and links to the few real ones that the script calls.
"""

import os
import shutil
import subprocess
import tempfile
import unittest

REAL_PROGRAMS = "bash comm cp dirname gzip mkdir mktemp mv readlink rm sed sort tar touch uname".split()

BAZEL = """#!/bin/bash
if [[ "$*" == --version ]]; then echo '%s'; exit; fi
echo "ran $0 $*"
"""

# Debian's package database: what is installed is a file of that name in $DATABASE.
DPKG_QUERY = """#!/bin/bash
if [[ "$*" == "-L bazel-bootstrap" ]]; then
  [[ -e "$DATABASE/bazel-bootstrap" ]] && echo "$DEBIAN_BAZEL"
elif [[ "$*" == *'${Version}'*bazel-bootstrap ]]; then
  echo "$DEBIAN_VERSION"
else
  for name in "${@:3}"; do [[ -e "$DATABASE/$name" ]] && echo "ii $name"; done
fi
"""

APT_GET = """#!/bin/bash
[[ "$1" == install ]] || exit 0
for name in "$@"; do [[ "$name" == -* || "$name" == install ]] || touch "$DATABASE/$name"; done
echo "apt: $*"
"""

NPM = """#!/bin/bash
echo "npm: $*" >&2
%s
mkdir package && for name in amd64 arm64; do cp "$0" package/buildifier-linux_$name; done
tar -czf package.tgz package
"""


class BazelwTest(unittest.TestCase):
    def setUp(self):
        self.folder = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.root, self.path, self.database = [self._folder(name) for name in ("root", "bin", "database")]
        shutil.copy("bazelw", os.path.join(self.root, "bazelw"))
        for name in REAL_PROGRAMS:
            os.symlink(shutil.which(name, path="/usr/bin:/bin"), os.path.join(self.path, name))
        self._program("id", "#!/bin/bash\necho 0\n")
        self.debian_bazel = os.path.join(self._folder("debian/bin"), "bazel")
        self.debian_version = "4.2.3+ds-9"

    def _folder(self, name):
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        return folder

    def _program(self, path, text):
        path = os.path.join(self.path, path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def _debian(self, installed):
        """Makes this a Debian machine, on which Bazel can be installed or is."""
        self._program("dpkg-query", DPKG_QUERY)
        self._program("apt-get", APT_GET)
        self._program(self.debian_bazel, BAZEL % "bazel no_version")
        if installed:
            with open(os.path.join(self.database, "bazel-bootstrap"), "w", encoding="utf-8"):
                pass

    def _run(self, *arguments):
        """Returns bazelw's exit code, standard output and standard error."""
        environment = {
            "PATH": self.path,
            "DATABASE": self.database,
            "DEBIAN_BAZEL": self.debian_bazel,
            "DEBIAN_VERSION": self.debian_version,
        }
        command = [os.path.join(self.root, "bazelw"), *(arguments or ["info"])]
        run = subprocess.run(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
        )
        return run.returncode, run.stdout.decode(), run.stderr.decode()

    def _assert_runs(self, program, options=""):
        code, out, err = self._run("build", "//x")
        self.assertEqual(code, 0, err)
        self.assertEqual(out.split("\n")[-2], "ran %s %sbuild //x" % (program, options))
        return err

    def _found(self, version, name="bazel"):
        self._program(name, BAZEL % version)
        return os.path.join(self.path, name)

    def _options(self, major):
        return "--bazelrc=%s/tools/bazelw/bazel_%d.bazelrc " % (self.root, major)

    def test_old_versions_need_no_flag(self):
        for version in ("4.2.3", "5.0.0", "6.5.0", "6"):
            self.assertEqual(self._assert_runs(self._found("bazel " + version)), "")

    def test_seven_and_eight_get_the_flags_to_read_workspace(self):
        for version, major in (("7.7.1", 7), ("7.0.0rc1", 7), ("8.1", 8), ("8.4.2-homebrew", 8)):
            self.assertEqual(self._assert_runs(self._found("bazel " + version), self._options(major)), "")

    def test_the_flag_files_exist_for_each_version_that_needs_one(self):
        self.assertEqual(
            [name for name in sorted(os.listdir("tools/bazelw")) if name.endswith(".bazelrc")],
            ["bazel_7.bazelrc", "bazel_8.bazelrc"],
        )

    def test_bazelisk_is_used_where_there_is_no_bazel(self):
        self._assert_runs(self._found("bazel 7.7.1", "bazelisk"), self._options(7))

    def test_bazelisk_is_used_where_bazel_is_too_new(self):
        self._found("bazel 9.0.0")
        self._assert_runs(self._found("bazel 6.5.0", "bazelisk"))

    def test_too_new_or_unknown_is_replaced_by_debians(self):
        self._debian(installed=True)
        for version, said in (
            ("bazel 9.0.0", "it is Bazel 9.0.0,"),
            ("bazel 10.1.0", "it is Bazel 10.1.0,"),
            ("bazel 3.7.2", "it is Bazel 3.7.2,"),
            ("bazel no_version", "it is Bazel of an unknown version,"),
            ("garbage 7", "it is Bazel of an unknown version,"),
            ("", "it is Bazel of an unknown version,"),
        ):
            found = self._found(version)
            err = self._assert_runs(self.debian_bazel)
            self.assertIn("bazelw: %s is not used: %s and this project needs 4 to 8\n" % (found, said), err)
            self.assertIn("bazelw: using Debian's %s, which is Bazel 4.2.3\n" % self.debian_bazel, err)

    def test_a_bazelisk_that_cannot_fetch_is_replaced_by_debians(self):
        self._debian(installed=True)
        self._program("bazelisk", "#!/bin/bash\necho 'could not download Bazel' >&2\nexit 1\n")
        self._assert_runs(self.debian_bazel)

    def test_debians_bazel_is_installed_where_it_is_needed(self):
        self._debian(installed=False)
        self._found("bazel 9.0.0")
        err = self._assert_runs(self.debian_bazel)
        self.assertIn(" bazel-bootstrap ", err.split("apt: install")[1].split("\n")[0] + " ")

    def test_debians_bazel_is_not_installed_where_another_serves(self):
        self._debian(installed=False)
        err = self._assert_runs(self._found("bazel 6.5.0"))
        self.assertIn("apt: install", err)
        self.assertNotIn("bazel-bootstrap", err)
        self.assertEqual(self._assert_runs(self._found("bazel 6.5.0")), "")

    def test_the_version_of_debians_is_that_of_its_package(self):
        self._debian(installed=True)
        self.debian_bazel = self._found("bazel no_version")
        self.assertNotIn("is not used", self._assert_runs(self.debian_bazel))
        self.debian_version = "7.7.1+ds-8+b1"
        self.assertNotIn("is not used", self._assert_runs(self.debian_bazel, self._options(7)))

    def test_without_a_usable_bazel_and_without_debian_it_ends(self):
        for version in (None, "bazel 9.0.0", "garbage"):
            if version:
                self._found(version)
            code, out, err = self._run()
            self.assertEqual((code, out), (2, ""))
            self.assertIn("install one of the versions 4 to 8", err)

    def test_missing_packages_without_root_are_named(self):
        self._debian(installed=True)
        self._program("id", "#!/bin/bash\necho 1000\n")
        code, _, err = self._run()
        self.assertEqual(code, 2)
        self.assertIn("as root: apt-get install ", err)

    def _buildifiers(self):
        folder = os.path.join(self.root, ".tools")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def test_buildifier_is_installed_once_and_for_tests_only(self):
        self._found("bazel 6.5.0")
        self._program("npm", NPM % "")
        self.assertEqual(self._run("build", "//x")[2], "")
        self.assertEqual(self._buildifiers(), [])
        code, _, err = self._run("test", "//x")
        self.assertEqual(code, 0)
        self.assertIn("npm: pack --silent", err)
        self.assertEqual(self._buildifiers(), ["buildifier-8.2.1"])
        self.assertEqual(self._run("test", "//x")[2], "")

    def test_without_npm_or_network_tests_run_all_the_same(self):
        self._found("bazel 6.5.0")
        self.assertEqual(self._run("test", "//x")[0], 0)
        self._program("npm", NPM % "exit 1")
        code, _, err = self._run("test", "//x")
        self.assertEqual(code, 0)
        self.assertIn("its lint test is skipped", err)
        self.assertEqual(self._buildifiers(), [])


if __name__ == "__main__":
    unittest.main()
