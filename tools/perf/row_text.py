"""Numbers as a person reads them, the same in every report."""

import re
import statistics

TERMINAL_WIDTH = 120


def printable(text):
    """Control characters of a hostile label would drive the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def wrapped(text, width=TERMINAL_WIDTH, indent=""):
    """The text in printable lines of at most `width`, cut after a space, '/' or ':' where there is one, indented."""
    width -= len(indent)
    # A word is shorter than a line, and keeps what it ends with.
    words = re.findall(rf"[^ /:]{{1,{width - 1}}}[ /:]?|[ /:]", printable(text))
    lines, line = [], ""
    for word in words:
        if len((line + word).rstrip()) > width:
            lines.append(line)
            line = ""
        line += word
    return [(indent + line).rstrip() for line in [*lines, line] if line]


def time(time_ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if time_ns >= size:
            return f"{time_ns / size:.4g} {unit}"
    return f"{time_ns:.4g} ns"


def percent(share):
    return f"{share:+.2%}"


def interval(row):
    return f"{percent(row['shift_low'])} .. {percent(row['shift_high'])}"


def p_value(p):
    return "<1e-4" if p < 1e-4 else f"{p:.4f}"


def name(row):
    """The target, with the benchmark where it has one."""
    return f"{row['target']} {row['benchmark']}".strip()


def short_names(rows):
    """What tells the rows of a picture apart: the program, and of its benchmarks' names the parts that differ."""
    parts = [row["benchmark"].removeprefix("kernel:").split("/") for row in rows]
    names = []
    for row, own in zip(rows, parts):
        siblings = [other for other, other_row in zip(parts, rows) if other_row["target"] == row["target"]]
        differing = [part for part in own if not all(part in sibling for sibling in siblings)]
        names.append(f"{row['target'].rpartition(':')[2]} {'/'.join(differing)}".strip())
    return names


def samples(row, side):
    """The samples that the verdict rests on."""
    by_phase = row.get("samples", {})
    return [sample for phase in row["phases"] for sample in by_phase.get(phase, {}).get(side, [])]


def median_time(row, side):
    times = [sample["time_ns"] for sample in samples(row, side)]
    return time(statistics.median(times)) if times else "-"


def table(document):
    """The header and a list of cells for each row; with a column of instructions where they were counted."""
    header = ["target", "base", "cand", "shift", "95% interval", "p", "n", "verdict"]
    rows = [_cells(row) for row in document["rows"]]
    if "instructions" in document:
        counted = {row["target"]: row for row in document["instructions"]}
        header.insert(-1, "instructions")
        for cells, row in zip(rows, document["rows"]):
            cells.insert(-1, _instructions(counted.get(row["target"])))
    return header, rows


def _cells(row):
    if "shift" not in row:
        return [name(row), "-", "-", "-", "-", "-", "0", row["verdict"]]
    return [
        name(row), median_time(row, "base"), median_time(row, "cand"), percent(row["shift"]), interval(row),
        p_value(min(row["p_slower"], row["p_faster"])), str(row["num_cand"]), row["verdict"],
    ]


def _instructions(counted):
    """The shift in the instructions of the whole program, or why there is none."""
    if not counted:
        return "-"
    return f"{counted['shift']:+.3%}" if counted["counts"] else counted["verdict"]


def summary(document):
    """One line: how many of which verdict, what it cost, and how far the tool itself can be trusted."""
    rows = document["rows"]
    counts = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    pairs = [row["num_pairs"] for row in rows if row.get("num_pairs")]
    cost = f"{statistics.mean(pairs):.1f} pairs a target, " if pairs else ""
    return (
        f"{len(rows)} benchmarks: {counted}; exit code {document['exit_code']}; {cost}{document['wall_s']:.0f} s; "
        f"calibration varies by {document['fitness']['coefficient_of_variation']:.1%}, steal "
        f"{document['fitness']['steal_share']:.1%}; false alarms of this tool: {document['selftest']}"
    )
