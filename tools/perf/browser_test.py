"""The HTML report in a real browser: it loads, its plots have a size, a hostile label is shown as text.

Skips where there is no Chromium.
"""

import os
import shutil
import subprocess
import tempfile
import unittest

from tools.perf import report_html, report_samples

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]

# Runs in the page once it has loaded, and leaves what it saw where the test finds it.
_PROBE = """<script>
window.addEventListener("load", () => {
  const seen = [...document.querySelectorAll(".plot")].map(plot => {
    const box = plot.getBoundingClientRect();
    const dots = [...plot.querySelectorAll(".dot")].map(dot => dot.getBoundingClientRect());
    const inside = dots.every(dot => dot.left > box.left && dot.right < box.right);
    return [plot.classList[1], box.width > 300 && box.height > 50, dots.length > 0 && inside];
  });
  const labels = [...document.querySelectorAll("td")].filter(cell => cell.textContent.includes("<\\/script>")).length;
  const rows = JSON.parse(document.getElementById("raw").textContent).rows.length;
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = JSON.stringify({seen, labels, rows, title: document.title, images: document.images.length});
  document.body.append(probe);
});
</script>"""


@unittest.skipUnless(shutil.which("chromium"), "chromium is not installed")
class BrowserTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def chromium(self, *arguments):
        environment = {**os.environ, "HOME": self.folder}
        return subprocess.run(
            ["chromium", *_FLAGS, f"--user-data-dir={self.folder}/profile", *arguments], env=environment, check=True,
            capture_output=True, text=True, timeout=120).stdout

    def test_loads_with_its_plots_and_labels_as_text(self):
        page = report_html.ab(report_samples.document(), report_samples.histories())
        path = os.path.join(self.folder, "report.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(page.replace("</head>", _PROBE + "</head>"))
        dom = self.chromium("--dump-dom", f"file://{path}")
        probe = dom[dom.index('<pre id="probe">') + len('<pre id="probe">'):].split("</pre>")[0]
        kinds = ["forest"] + ["strip"] * 6 + ["trend", "noise"]
        seen = ",".join(f'["{kind}",true,true]' for kind in kinds)
        self.assertIn(f'"seen":[{seen}]', probe)
        self.assertIn('"labels":1,"rows":6,"title":"HEAD against main&lt;b&gt;","images":0', probe)


if __name__ == "__main__":
    unittest.main()
