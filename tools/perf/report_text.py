"""The report as a terminal table and as markdown, worst first."""

from tools.perf import row_text as text


def terminal(document):
    header, rows = text.table(document)
    table = [header, *rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]
    notes = [f"{text.name(row)}: {row['verdict']}: {row['note']}" for row in document["rows"] if row["note"]]
    return "\n".join(_printable(line) for line in [*lines, "", *notes, text.summary(document)]) + "\n"


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
    return "\n".join(_printable(line) for line in lines) + "\n"


def _printable(line):
    """Control characters of a hostile label would drive the terminal."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _escape(cell):
    for character in "\\`*_{}[]<>#|~":
        cell = cell.replace(character, "\\" + character)
    return cell.replace("&", "&amp;").replace("\n", " ")


def _code(given):
    return given.replace("`", "'").replace("\n", " ")
