"""The report as one HTML file that needs nothing else: plots are HTML and CSS, raw samples embedded JSON."""

import html
import json
import statistics

from tools.perf import change_points, plots, row_text as text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 24px; } h2 { font-size: 19px; margin-top: 32px; } h3 { font-size: 15px; margin-bottom: 4px; }
table { border-collapse: collapse; font-size: 13px; } td, th { padding: 3px 10px; text-align: left; }
tr:nth-child(even) { background: #f6f6f6; } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
td { white-space: nowrap; } td:first-child, td:last-child { white-space: normal; }
.verdict { font-weight: 600; } .SLOWER, .ERROR, .MISSING, .UNREADABLE { color: #b2182b; } .FASTER { color: #1b7837; }
.UNSURE { color: #8a6508; } .note { color: #555; }
"""


def ab(document, histories=None):
    """The report of `perf ab`; `histories` maps (target, benchmark) to history records, for the trends."""
    rows = document["rows"]
    measured = [row for row in rows if "shift" in row]
    min_effect = document["rules"]["min_effect"]
    sides = document["sides"]
    title = f"{sides['cand']['given']} against {sides['base']['given']}"
    body = [f'<p class="summary">{html.escape(text.summary(document))}</p>', _table(document)]
    if measured:
        body.append("<h2>Shift of the typical time of every benchmark, with its 95 % interval</h2>")
        body.append(plots.forest(
            [{**row, "label": name} for row, name in zip(measured, text.short_names(measured))], min_effect))
        body.append("<h2>Every process of both sides, relative to the median of base</h2>")
        body += [plot for row in measured for plot in _strips(row, document["rules"])]
    body += _trends(histories or {})
    points = _calibration_points(rows)
    if points:
        body.append("<h2>Noise over time: the calibration kernel in every process, relative to its median</h2>")
        body.append(plots.noise(points))
    body += ["<h2>Machine and measurement</h2>", _facts(document)]
    return _page(title, body, document)


def trends(histories, machine_class):
    """The report of `perf history`."""
    body = [f"<p>Machine class {html.escape(machine_class)}. Change points date a change; they judge nothing.</p>"]
    body += _trends(histories)
    raw = [{"target": target, "benchmark": benchmark, "records": records}
           for (target, benchmark), records in histories.items()]
    return _page("History", body, raw)


def _page(title, body, raw):
    # Inside a script element only "<" can end it or open a comment; JSON may spell it as an escape.
    embedded = json.dumps(raw).replace("<", "\\u003c")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}{plots.STYLE}</style></head><body><h1>{html.escape(title)}</h1>" + "\n".join(body)
        + f'\n<script type="application/json" id="raw">{embedded}</script></body></html>\n'
    )


def _table(document):
    header, rows = text.table(document)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    lines = []
    for row, (*cells, verdict) in zip(document["rows"], rows):
        line = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        note = f'<br><span class="note">{html.escape(row["note"])}</span>' if row["note"] else ""
        lines.append(f'<tr>{line}<td><span class="verdict {verdict}">{verdict}</span>{note}</td></tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _strips(row, rules):
    """Every process, by its typical time and, where that tail has a verdict other than SAME, by its tail."""
    typical = row.get("typical_verdict", row["verdict"])
    strips = [_strip(row, "typical time", "value", typical, row["phases"], rules["min_effect"])]
    tail = row.get("tail", {})
    if "shift" in tail and tail["verdict"] != "SAME":
        strips.append(
            _strip(row, text.TAIL_NAME, "tail_value", tail["verdict"], tail["phases"], rules["min_tail_effect"]))
    return strips


def _strip(row, quantity, key, verdict, phases, min_effect):
    samples = {side: text.samples(row, side, phases) for side in ("base", "cand")}
    values = {side: [sample[key] for sample in samples[side]] for side in samples}
    heading = f'{html.escape(text.name(row))}, {quantity} <span class="verdict {verdict}">{verdict}</span>'
    return f"<h3>{heading}</h3>" + plots.strip(
        values["base"], values["cand"], min_effect, text.value(samples["base"], key))


def _trends(histories):
    parts = []
    for (target, benchmark), records in histories.items():
        if len(records) < 2:
            continue
        points = [_trend_point(record) for record in records]
        changes = change_points.find([point["value"] for point in points])
        unit = text.value([sample for record in records for sample in record["samples"]])
        parts.append(
            f"<h3>Trend of {html.escape(target)} {html.escape(benchmark)}</h3>" + plots.trend(points, changes, unit))
    return parts


def _trend_point(record):
    values = sorted(sample["value"] for sample in record["samples"])
    return {
        "label": f"{record['commit'][:10]} {record['run']['time'][:10]}",
        "value": statistics.median(values),
        "low": values[0],
        "high": values[-1],
    }


def _calibration_points(rows):
    return sorted(
        (sample["seconds"], sample["calibration_ns"])
        for row in rows for by_side in row.get("samples", {}).values() for samples in by_side.values()
        for sample in samples if sample["calibration_ns"]
    )


def _facts(document):
    facts = {
        **{key.replace("_", " "): value for key, value in document["machine"].items()},
        "machine class": document["machine_class"],
        "calibration": f"varies by {document['fitness']['coefficient_of_variation']:.2%} between "
                       f"{document['fitness']['num_processes']} processes",
        "steal": f"{document['fitness']['steal_share']:.2%}",
        "order seed": document["order_seed"],
        "rules": ", ".join(f"{key} {value}" for key, value in document["rules"].items()),
        "base": " ".join(document["sides"]["base"].values()),
        "cand": " ".join(document["sides"]["cand"].values()),
    }
    lines = "".join(f"<tr><td>{html.escape(key)}</td><td>{html.escape(str(value))}</td></tr>"
                    for key, value in facts.items())
    return f'<table class="facts"><tbody>{lines}</tbody></table>'
