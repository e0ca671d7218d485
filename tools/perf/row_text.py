"""Numbers as a person reads them, the same in every report."""

import re
import statistics

from tools.perf import verdicts

TERMINAL_WIDTH = 120

TAIL_NAME = "90th percentile of the repetitions"
NOT_SEEN = "Not seen: a slowdown of at most a tenth of the repetitions of a process."


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


def value(samples_of_processes, key="value"):
    """The median over processes with its unit: as a multiple of the calibration kernel's time, where that ran, and as a
    time."""
    time_key = "tail_ns" if key == "tail_value" else "time_ns"
    times = [sample[time_key] for sample in samples_of_processes if time_key in sample]
    median_time = time(statistics.median(times)) if times else ""
    if not all(sample.get("calibration_ns") for sample in samples_of_processes):
        return median_time
    ratio = statistics.median(sample[key] for sample in samples_of_processes)
    return f"{ratio:.5g} x calibration" + (f" ({median_time})" if median_time else "")


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


def both_notes(typical, tail):
    """The note of a benchmark from its two Decisions: why each is what it is, as far as there is anything to say."""
    notes = [typical.note] if typical.note else []
    says_the_same = (tail.verdict, tail.note) == (typical.verdict, typical.note)
    if tail.verdict != verdicts.SAME and not says_the_same:
        shift = f" by {percent(tail.compared.shift)} ({interval(vars(tail.compared))})" if tail.compared else ""
        why = f"; {tail.note}" if tail.note and tail.note != typical.note else ""
        notes.append(f"typical time {typical.verdict}, {TAIL_NAME} {tail.verdict}{shift}{why}")
    return "; ".join(notes)


def tail_cell(row):
    """The tail's shift and verdict."""
    tail = row.get("tail")
    if not tail or "shift" not in tail:
        return tail["verdict"] if tail else "-"
    return f"{percent(tail['shift'])} {tail['verdict']}"


def samples(row, side, phases=None):
    """The samples that the verdict rests on, or those of other phases."""
    by_phase = row.get("samples", {})
    phases = row["phases"] if phases is None else phases
    return [sample for phase in phases for sample in by_phase.get(phase, {}).get(side, [])]


def median_time(row, side):
    times = [sample["time_ns"] for sample in samples(row, side)]
    return time(statistics.median(times)) if times else "-"


def table(document):
    """The header and a list of cells for each row; with a column of instructions where they were counted."""
    header = ["target", "base", "cand", "shift", "95% interval", "p", "n", "p90 shift", "verdict"]
    rows = [_cells(row) for row in document["rows"]]
    if "instructions" in document:
        counted = {row["target"]: row for row in document["instructions"]}
        header.insert(-1, "instructions")
        for cells, row in zip(rows, document["rows"]):
            cells.insert(-1, _instructions(counted.get(row["target"])))
    return header, rows


def _cells(row):
    if "shift" not in row:
        return [name(row), "-", "-", "-", "-", "-", "0", tail_cell(row), row["verdict"]]
    return [
        name(row), median_time(row, "base"), median_time(row, "cand"), percent(row["shift"]), interval(row),
        p_value(min(row["p_slower"], row["p_faster"])), str(row["num_cand"]),
        tail_cell(row), row["verdict"],
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
        f"{document['fitness']['steal_share']:.1%}; false alarms of this tool: {document['selftest']}. {NOT_SEEN}"
    )
