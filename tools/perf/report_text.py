"""The report as a terminal table and as markdown, worst first."""

from tools.perf import row_text as text

_SEPARATOR = "  "
_INDENT = "    "


def terminal(document):
    """Each row in two lines or more, none of them wider than a terminal: the target with its numbers, then the
    benchmark's name in full, then what there is to say."""
    header, rows = text.table(document)
    table = [header, *rows]
    widths = [max(len(line[column]) for line in table) for column in range(1, len(header))]
    room = text.TERMINAL_WIDTH - sum(len(_SEPARATOR) + width for width in widths)
    labels = [header[0], *(row["target"] for row in document["rows"])]
    label_width = min(room, max(len(text.printable(label)) for label in labels))
    lines = []
    for label, cells, row in zip(labels, table, [None, *document["rows"]]):
        # A label that is wider than its column goes on below its numbers.
        first, *rest = text.wrapped(label, label_width)
        numbers = (cell.ljust(width) for cell, width in zip(cells[1:], widths))
        lines.append(_SEPARATOR.join([first.ljust(label_width), *numbers]).rstrip())
        lines += rest
        if row:
            lines += text.wrapped(row["benchmark"], indent=_INDENT)
            lines += text.wrapped(f"{row['verdict']}: {row['note']}" if row["note"] else "", indent=_INDENT)
    return "\n".join([*lines, "", *text.wrapped(text.summary(document))]) + "\n"


def markdown(document):
    sides = document["sides"]
    header, rows = text.table(document)
    lines = [
        f"## Performance of `{_code(sides['cand']['given'])}` against `{_code(sides['base']['given'])}`",
        "",
        _escape(text.summary(document)),
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
    ]
    lines += ["| " + " | ".join(_escape(cell) for cell in cells) + " |" for cells in rows]
    notes = [row for row in document["rows"] if row["note"]]
    if notes:
        lines.append("")
        lines += [f"- {_escape(text.name(row))}: {row['verdict']}: {_escape(row['note'])}" for row in notes]
    return "\n".join(text.printable(line) for line in lines) + "\n"


def _escape(cell):
    for character in "\\`*_{}[]<>#|~":
        cell = cell.replace(character, "\\" + character)
    return cell.replace("&", "&amp;").replace("\n", " ")


def _code(given):
    return given.replace("`", "'").replace("\n", " ")
