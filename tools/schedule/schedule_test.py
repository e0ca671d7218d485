"""//tools/schedule: its commands, and the pictures of docs/schedules.md, which it draws.

A picture in the docs follows a paragraph that begins with the scheme and its numbers: "`gpipe`, m = 4 (...)".
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, PAGE = sys.argv.pop(1), sys.argv.pop(1)


def run(*arguments):
    return subprocess.run([PROGRAM] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pictures_of(page):
    """Yields scheme, flags and lines of each picture of the page."""
    paragraphs = page.split("\n\n")
    for heading, picture in zip(paragraphs, paragraphs[1:]):
        lines = picture.rstrip("\n").split("\n")
        if not lines[0].startswith("    rank 0  "):
            continue
        scheme = re.match(r"`(\w+)`", heading).group(1)
        numbers = dict(re.findall(r"\b([mnv]) = (\d+)", heading.split("(")[0].split(":")[0]))
        flags = ["--pipeline_parallel_size=%d" % len(lines)]
        for letter, flag in (("m", "num_micro_batches"), ("n", "n_slices"), ("v", "num_chunks")):
            if letter in numbers:
                flags.append("--%s=%s" % (flag, numbers[letter]))
        yield scheme, flags, [line[4:] for line in lines]


class Show(unittest.TestCase):
    def test_pictures_of_the_page_are_those_of_the_program(self):
        with open(PAGE, encoding="utf-8") as file:
            pictures = list(pictures_of(file.read()))
        self.assertGreaterEqual(len(pictures), 10)
        for scheme, flags, lines in pictures:
            result = run("show", "--scheme=" + scheme, *flags)
            self.assertEqual(result.stdout.splitlines(), lines, scheme)

    def test_text_form_is_read_back(self):
        text = run("show", "--scheme=zero_bubble_v", "--num_micro_batches=8", "--format=text").stdout
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            again = run("show", "--schedule_file=" + file.name, "--format=text")
            self.assertEqual(again.stdout, text, again.stderr)

    def test_svg_is_one_document(self):
        svg = run("show", "--scheme=gpipe", "--format=svg").stdout
        self.assertTrue(svg.startswith("<svg "))
        self.assertIn("gpipe, 4 ranks, 4 stages, 4 micro-batches", svg)


class Example(unittest.TestCase):
    """The walk-through from a file to its picture: each command of this program, followed by its output."""

    PREFIX = "    ./bazelw run //tools/schedule -- "

    def test_commands_of_the_page_print_what_it_says(self):
        with open(PAGE, encoding="utf-8") as file:
            blocks = [paragraph.split("\n") for paragraph in file.read().split("\n\n")]
        example = next(lines for lines in blocks if lines[0].startswith("    0F0,"))
        num_commands = 0
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "mine.csv"), "w", encoding="utf-8") as file:
                file.write("".join(line[4:] + "\n" for line in example))
            for lines in blocks:
                if len(lines) < 2 or not lines[0].startswith(self.PREFIX) or "mine.csv" not in lines[0]:
                    continue
                arguments = lines[0][len(self.PREFIX):].replace("mine.csv", folder + "/mine.csv").split()
                self.assertEqual(run(*arguments).stdout.splitlines(), [line[4:] for line in lines[1:]])
                num_commands += 1
        self.assertEqual(num_commands, 2)


class Check(unittest.TestCase):
    def check(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            return run("check", "--schedule_file=" + file.name)

    HEAD = "schedule num_stages=2 num_ranks=2 num_micro_batches=1 num_slices=1 pass=step\nrank_of_stage 0 1\n"

    def test_a_right_one_passes_with_or_without_messages(self):
        result = self.check(self.HEAD + "rank 0: F0.0.0 BW0.0.0\nrank 1: F1.0.0 BW1.0.0\n")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(result.stdout.startswith("PASS: "))
        result = self.check(
            self.HEAD + "rank 0: F0.0.0 SA0.0.0 RG0.0.0 BW0.0.0\nrank 1: RA1.0.0 F1.0.0 BW1.0.0 SG1.0.0\n"
        )
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_a_wrong_one_is_refused_with_rank_and_op(self):
        result = self.check(self.HEAD + "rank 0: F0.0.0 BW0.0.0\nrank 1: F1.0.0\n")
        self.assertEqual(result.returncode, 2)
        self.assertIn("rank 1 has no BW1.0.0", result.stderr)

    def test_messages_that_do_not_match_fail(self):
        result = self.check(
            self.HEAD + "rank 0: F0.0.0 RG0.0.0 BW0.0.0 SA0.0.0\nrank 1: RA1.0.0 F1.0.0 BW1.0.0 SG1.0.0\n"
        )
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertTrue(result.stdout.startswith("FAIL: "), result.stdout)

    def test_a_csv_file_of_pytorch_passes(self):
        result = self.check("0F0,0F1,,(0F2;0B0)OVERLAP_F_B,0I1,0W1,0B2\n,1F0,1B0,1F1,1B1,1F2,1B2\n")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("2 ranks, 2 stages, 3 micro-batches", result.stdout)

    def test_an_empty_file_is_refused(self):
        result = self.check("")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(len(result.stderr.splitlines()), 1)


class Simulate(unittest.TestCase):
    def test_one_f_one_b_has_its_formula(self):
        flags = ["--forward_ms=2", "--input_gradient_ms=3", "--weight_gradient_ms=1", "--num_micro_batches=8"]
        result = run("simulate", "--scheme=one_f_one_b", *flags)
        # (m + p - 1) (F + B + W), and p - rank units kept.
        self.assertIn("step 66.000 ms, bubble 27.3 %", result.stdout)
        self.assertRegex(result.stdout, r"\n +0 .* 4 units\n +1 .* 3 units\n")

    def test_a_million_ops_on_ten_thousand_ranks_take_seconds(self):
        begin = time.monotonic()
        result = run("simulate", "--scheme=gpipe", "--pipeline_parallel_size=10000", "--num_micro_batches=50")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertLess(time.monotonic() - begin, 30)  # 10 s on an idle machine


class Refusals(unittest.TestCase):
    def refusal(self, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1)
        return result.stderr

    def test_each_names_the_thing_and_what_is_allowed(self):
        self.assertIn("known: show, check, simulate, golden", self.refusal())
        self.assertIn("did you mean 'show'", self.refusal("shwo"))
        self.assertIn("--schedule_file", self.refusal("check"))
        self.assertIn("did you mean 'gpipe'", self.refusal("show", "--scheme=gpip"))
        self.assertIn("num_chunks 2 is not allowed", self.refusal("show", "--scheme=gpipe", "--num_chunks=2"))
        self.assertIn("n_slices 2 is not allowed", self.refusal("show", "--scheme=gpipe", "--n_slices=2"))
        self.assertIn("--scheme", self.refusal("show", "--scheme=gpipe", "--schedule_file=" + PAGE))


if __name__ == "__main__":
    unittest.main()
