"""The reports' content, and that a hostile label stays text in each of them."""

import html.parser
import json
import unittest

from tools.perf import report_html, report_samples, report_text, row_text, svg, verdicts
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
        if tag == "svg":
            self.plots.append(dict(attrs)["class"])

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
        self.assertEqual(self.page.plots, ["forest"] + ["strip"] * 4 + ["trend", "noise"])
        self.assertEqual(self.html.count('class="change"'), 1)

    def test_raw_samples_are_embedded_whole(self):
        self.assertEqual(json.loads(self.page.raw), json.loads(json.dumps(self.document)))

    def test_nothing_is_loaded(self):
        for word in ("http:", "https:", "src=x onerror", " href=", "@import", "url("):
            self.assertNotIn(word, self.html.replace("onerror=\\\"", "").replace("src=x", "src="), word)
        for tag in ("img", "link", "iframe", "b", "i"):
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
        self.assertIn("1 SLOWER", text)
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
        self.assertRegex(lines[0], r"^target +base +cand +shift +95% interval +p +n +verdict$")
        self.assertRegex(lines[2], r"\+[45]\.\d\d% +\+\d.* \.\. .*SLOWER$")
        self.assertIn("about 25 more pairs would decide", text)
        self.assertIn("exit code 4", lines[-1])

    def test_terminal_passes_no_control_characters_on(self):
        document = report_samples.document()
        document["rows"][0]["target"] = "//bench:\x1b[2Jgone"
        self.assertNotIn("\x1b", report_text.terminal(document))
        self.assertNotIn("\x1b", report_text.markdown(document))

    def test_markdown_is_a_table_worst_first_with_labels_as_text(self):
        lines = report_text.markdown(report_samples.document()).splitlines()
        table = [line for line in lines if line.startswith("| ")]
        self.assertEqual(len(table), 6)
        self.assertIn("MISSING", table[1])
        hostile = table[2]
        self.assertNotIn("<script>", hostile.replace("\\<script\\>", ""))
        # Unescaped bars are cell borders: nine of them around eight cells.
        self.assertEqual(hostile.replace("\\|", "").count("|"), 9)


    def test_instructions_are_a_column_where_they_were_counted(self):
        document = report_samples.document()
        counts = {"base": [1000], "cand": [1050]}
        document["instructions"] = [
            {"target": HOSTILE, "verdict": verdicts.SLOWER, "note": "", "counts": counts, "shift": 0.05},
            {"target": "//bench:same", "verdict": verdicts.SKIPPED, "note": "why", "counts": None, "shift": None}]
        lines = report_text.terminal(document).splitlines()
        self.assertRegex(lines[0], r" n +instructions +verdict$")
        self.assertRegex(lines[1], r" - +MISSING$")
        self.assertRegex(lines[2], r" \+5\.000% +SLOWER$")
        self.assertRegex(lines[5], r" SKIPPED +SAME$")
        self.assertIn("| instructions | verdict |", report_text.markdown(document))
        self.assertIn("<th>instructions</th>", report_html.ab(document))


class SvgTest(unittest.TestCase):
    def test_equal_values_and_single_points_have_a_plot(self):
        self.assertIn("<circle", svg.strip([1.0, 1.0], [1.0, 1.0], 0.02))
        self.assertIn("<circle", svg.noise([(0.0, 2e7)]))
        point = {"label": "a", "value": 1.0, "low": 1.0, "high": 1.0}
        self.assertIn("<circle", svg.trend([point, point], []))


if __name__ == "__main__":
    unittest.main()
