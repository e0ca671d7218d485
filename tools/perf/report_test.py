"""The reports' content, and that a hostile label stays text in each of them."""

import html.parser
import json
import re
import unittest

from tools.perf import plots, report_html, report_samples, report_text, row_text, verdicts
from tools.perf.ab import Decision
from tools.perf.comparison import compare
from tools.perf.report_samples import HOSTILE


class _Page(html.parser.HTMLParser):
    """Tags and text of a page, as a reader of HTML sees them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.plots, self.raw = [], [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        classes = dict(attrs).get("class", "").split()
        if "plot" in classes:
            self.plots.append(classes[1])

    def handle_data(self, data):
        if self.tags[-1:] == ["script"] and not self.raw:
            self.raw = data
        self.text.append(data)


class HtmlTest(unittest.TestCase):
    def setUp(self):
        self.document = report_samples.document()
        self.html = report_html.ab(self.document, report_samples.histories())
        self.page = _Page(self.html)

    def test_plots(self):
        # Every typical time, and the one tail that is not SAME.
        self.assertEqual(self.page.plots, ["forest"] + ["strip"] * 6 + ["trend", "noise"])
        self.assertEqual(self.html.count('class="change"'), 1)

    def test_raw_samples_are_embedded_whole(self):
        self.assertEqual(json.loads(self.page.raw), json.loads(json.dumps(self.document)))

    def test_nothing_is_loaded(self):
        for word in ("http:", "https:", "src=x onerror", " href=", "@import", "url("):
            self.assertNotIn(word, self.html.replace("onerror=\\\"", "").replace("src=x", "src="), word)
        for tag in ("img", "link", "iframe", "b", "svg"):
            self.assertNotIn(tag, self.page.tags)
        self.assertEqual(self.page.tags.count("script"), 1)

    def test_picture_names_what_tells_benchmarks_apart(self):
        rows = [{"target": "//bench/kernels:matmul", "benchmark": f"kernel:linear_forward/{name}/m:128/device:cpu"}
                for name in ("fc1", "fc2")]
        rows.append({"target": "//bench:gpipe_short", "benchmark": "scheme:gpipe/device:cpu/pass:step"})
        self.assertEqual(row_text.short_names(rows), ["matmul fc1", "matmul fc2", "gpipe_short"])

    def test_hostile_label_is_text(self):
        self.assertTrue(any(HOSTILE in text for text in self.page.text))
        self.assertTrue(any("main<b>" in text for text in self.page.text))

    def test_summary_and_facts(self):
        text = " ".join(self.page.text)
        self.assertIn("2 SLOWER", text)
        self.assertIn("false alarms of this tool: 0 of 300 A/A trials", text)
        self.assertIn("Xeon & <i>co</i>", text)

    def test_history_page(self):
        page = _Page(report_html.trends(report_samples.histories(), "class<x>"))
        self.assertEqual(page.plots, ["trend"])

    def test_nothing_measured_is_still_a_page(self):
        self.document["rows"] = self.document["rows"][:1]
        self.assertEqual(_Page(report_html.ab(self.document)).plots, [])


class TextTest(unittest.TestCase):
    def test_terminal(self):
        text = report_text.terminal(report_samples.document())
        lines = text.splitlines()
        self.assertRegex(lines[0], r"^target +base +cand +shift +95% interval +p +n +p90 shift +verdict$")
        self.assertRegex(lines[1], r"^//bench:gone .* MISSING$")
        self.assertEqual(lines[2].strip(), "MISSING: cand has no such target")
        self.assertRegex(lines[3], r"\+[45]\.\d\d% +\+\d.* \.\. .*SLOWER$")
        self.assertIn("    UNSURE: about 25 more pairs would decide", lines)
        self.assertIn("exit code 4", " ".join(lines[-3:]))

    def test_terminal_is_no_wider_than_one_and_drops_nothing(self):
        document = report_samples.document()
        name = "scheme:seq_one_f_one_b/model:test/world_size:2/batch_size:2/num_micro_batches:2/n_slices:4/device:cpu"
        document["rows"][2]["benchmark"] = f"{name}/dtype:f32/pass:step"
        document["rows"][3]["target"] = "//bench:" + "x" * 200
        document["rows"][4]["note"] = "why " * 60
        document["instructions"] = []
        text = report_text.terminal(document)
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 120)
        # Names alone, without the numbers that stand beside their first lines.
        names = "".join(re.sub("  +[-0-9].*", "", line).strip() for line in text.splitlines()).replace(" ", "")
        for row, cells in zip(document["rows"], row_text.table(document)[1]):
            for fact in (row["target"], row["benchmark"], row["note"]):
                self.assertIn(fact.replace(" ", ""), names)
            # The numbers of a row stand on one line, whatever it is called.
            self.assertRegex(text, "  +".join(re.escape(cell) for cell in cells[1:]))

    def test_both_quantities_are_shown_with_their_verdicts(self):
        text = report_text.terminal(report_samples.document())
        self.assertRegex(text, r"//bench:same .* \+?-?\d\.\d\d% SAME +SAME\n")
        self.assertRegex(text, r"//bench:tail .* \+(29|30|31)\.\d\d% SLOWER +SLOWER\n")
        self.assertIn("Not seen: a slowdown of at most a tenth of the repetitions", " ".join(text.split()))

    def test_note_says_which_quantity_differs(self):
        same = Decision(verdicts.SAME, "")
        slower = Decision(verdicts.SLOWER, "", compare([1.0, 1.01] * 5, [1.5, 1.51] * 5))
        unsure = Decision(verdicts.UNSURE, "about 9 more pairs would decide")
        self.assertEqual(row_text.both_notes(same, same), "")
        self.assertEqual(row_text.both_notes(slower, same), "")
        self.assertEqual(row_text.both_notes(unsure, unsure), "about 9 more pairs would decide")
        self.assertRegex(row_text.both_notes(same, slower),
                         r"^typical time SAME, 90th percentile of the repetitions SLOWER by \+49\.\d+% \(.*\)$")
        self.assertEqual(
            row_text.both_notes(same, unsure),
            "typical time SAME, 90th percentile of the repetitions UNSURE; about 9 more pairs would decide")

    def test_wrapping_cuts_after_what_separates(self):
        self.assertEqual(row_text.wrapped("a:bb/cc dd", 5), ["a:bb/", "cc dd"])
        self.assertEqual(row_text.wrapped("a//b::c", 3), ["a//", "b::", "c"])
        self.assertEqual("".join(row_text.wrapped("x" * 7, 5)), "x" * 7)
        self.assertEqual([len(line) <= 5 for line in row_text.wrapped("x" * 7, 5, indent="  ")], [True] * 3)
        self.assertEqual(row_text.wrapped(""), [])

    def test_terminal_passes_no_control_characters_on(self):
        document = report_samples.document()
        document["rows"][0]["target"] = "//bench:\x1b[2Jgone"
        self.assertNotIn("\x1b", report_text.terminal(document))
        self.assertNotIn("\x1b", report_text.markdown(document))

    def test_markdown_is_a_table_worst_first_with_labels_as_text(self):
        lines = report_text.markdown(report_samples.document()).splitlines()
        table = [line for line in lines if line.startswith("| ")]
        self.assertEqual(len(table), 7)
        self.assertIn("MISSING", table[1])
        hostile = table[2]
        self.assertNotIn("<script>", hostile.replace("\\<script\\>", ""))
        # Unescaped bars are cell borders: ten of them around nine cells.
        self.assertEqual(hostile.replace("\\|", "").count("|"), 10)


    def test_instructions_are_a_column_where_they_were_counted(self):
        document = report_samples.document()
        counts = {"base": [1000], "cand": [1050]}
        document["instructions"] = [
            {"target": HOSTILE, "verdict": verdicts.SLOWER, "note": "", "counts": counts, "shift": 0.05},
            {"target": "//bench:same", "verdict": verdicts.SKIPPED, "note": "why", "counts": None, "shift": None}]
        lines = report_text.terminal(document).splitlines()
        self.assertRegex(lines[0], r" n +p90 shift +instructions +verdict$")
        self.assertRegex(lines[1], r" - +MISSING$")
        self.assertRegex(lines[3], r" \+5\.000% +SLOWER$")
        self.assertTrue(any(re.search(r"^//bench:same .* SKIPPED +SAME$", line) for line in lines))
        self.assertIn("| instructions | verdict |", report_text.markdown(document))
        self.assertIn("<th>instructions</th>", report_html.ab(document))


class PlotsTest(unittest.TestCase):
    def test_labels_are_whole_and_text(self):
        row = {"shift": 0.0, "shift_low": -0.01, "shift_high": 0.01, "verdict": "SAME", "label": HOSTILE * 3}
        page = _Page(plots.forest([row], 0.02))
        self.assertIn(HOSTILE * 3, page.text)
        self.assertLessEqual(set(page.tags), {"div", "i", "span"})

    def test_marks_are_placed_by_their_values(self):
        row = {"shift": 0.01, "shift_low": 0.0, "shift_high": 0.02, "verdict": "SLOWER", "label": "a"}
        # The axis reaches from -4.4 % to 4.4 %.
        plot = plots.forest([row], 0.02)
        self.assertIn('<i class="across" style="left:50.00%;width:22.73%;background:#d62728">', plot)
        self.assertIn('<i class="dot" style="left:61.36%;bottom:50.00%;background:#d62728">', plot)
        self.assertIn('<i class="band" style="left:27.27%;width:45.45%">', plot)
        self.assertIn('<span style="left:72.73%">+2%</span>', plot)

    def test_axes_have_titles_and_values_have_units(self):
        page = report_html.ab(report_samples.document(), report_samples.histories())
        for title in ("shift of cand against base, with its 95 % interval", "time since the start of the measurement",
                      " x calibration (20",
                      "from the median, ", "commit and date of the record",
                      "0 is the median of these records, 1.0"):
            self.assertIn(title, page)
        self.assertEqual(row_text.value([{"value": 2e6, "time_ns": 2e6, "calibration_ns": 0.0}]), "2 ms")
        self.assertEqual(row_text.value([{"value": 4.0, "time_ns": 2e6, "calibration_ns": 5e5}]),
                         "4 x calibration (2 ms)")

    def test_equal_values_and_single_points_have_a_plot(self):
        self.assertIn('class="dot"', plots.strip([1.0, 1.0], [1.0, 1.0], 0.02, "1 ms"))
        self.assertIn('class="dot"', plots.noise([(0.0, 2e7)]))
        point = {"label": "a", "value": 1.0, "low": 1.0, "high": 1.0}
        self.assertIn('class="dot"', plots.trend([point, point], [], "1 ms"))


if __name__ == "__main__":
    unittest.main()
