"""The plots of the reports, as HTML: marks placed by CSS in percent of their track. Every given text is escaped."""

import html
import math

from tools.perf.row_text import time

STYLE = """
.plot { max-width: 860px; margin: 8px 0; font-size: 12px; color: #333; }
.lane { display: flex; align-items: center; } .label { flex: 0 0 330px; padding-right: 10px; text-align: right;
overflow-wrap: anywhere; } .high .label { flex-basis: 70px; }
.track { position: relative; flex: 1; min-height: 30px; align-self: stretch; } .high .track { height: 180px; }
.track i, .track span { position: absolute; } .track span { transform: translate(-50%, 0); white-space: nowrap; }
.band { background: #eef3ee; top: 0; bottom: 0; } .zero { border-left: 1px solid #999; top: 0; bottom: 0; }
.grid { border-top: 1px solid #ddd; left: 0; right: 0; } .tick { text-align: right; right: 100%; padding-right: 5px; }
.dot { width: 7px; height: 7px; margin: 0 0 -3.5px -3.5px; border-radius: 50%; opacity: 0.7; }
.across { height: 3px; bottom: calc(50% - 1.5px); } .up { width: 3px; margin-left: -1.5px; opacity: 0.4; }
.median { border-left: 2px solid #000; top: 3px; bottom: 3px; }
.change { border-left: 1px dashed #d62728; top: 0; bottom: 0; padding-left: 4px; font-style: normal; }
.high .track .tick { transform: translate(0, 50%); } .title { text-align: center; padding-left: 340px; }
.high .title { padding-left: 80px; }
"""

_COLORS = {
    "SAME": "#4c78a8", "SLOWER": "#d62728", "FASTER": "#2ca02c", "UNSURE": "#b8860b", "base": "#777777",
    "cand": "#4c78a8",
}


def forest(rows, min_effect):
    """One lane per benchmark: the shift and its 95 % interval over a band of +-min_effect."""
    reach = 1.1 * max([2 * min_effect] + [abs(row[key]) for row in rows for key in ("shift_low", "shift_high")])
    scale = _Scale(-reach, reach)
    lanes = []
    for row in rows:
        color = _COLORS.get(row["verdict"], "#000000")
        low, high = scale(row["shift_low"]), scale(row["shift_high"])
        marks = [_mark("across", left=low, width=high - low, background=color),
                 _mark("dot", left=scale(row["shift"]), bottom=50, background=color)]
        lanes.append(_lane(row["label"], [*_background(scale, min_effect), *marks]))
    return _plot("forest", [*lanes, _axis(scale)], "shift of cand against base, with its 95 % interval")


def strip(base, cand, min_effect, unit):
    """Every process of both sides as a dot, relative to the median of base; `unit` says what that is."""
    center = sorted(base)[len(base) // 2]
    sides = {"base": [value / center - 1 for value in base], "cand": [value / center - 1 for value in cand]}
    scale = _Scale.of([*sides["base"], *sides["cand"], -min_effect, min_effect])
    lanes = []
    for side, values in sides.items():
        # Dots of a lane are spread over three heights, so that equal values stay visible.
        marks = [_mark("dot", left=scale(value), bottom=50 + (index % 3 - 1) * 17, background=_COLORS[side])
                 for index, value in enumerate(values)]
        marks.append(_mark("median", left=scale(sorted(values)[len(values) // 2])))
        lanes.append(_lane(f"{side} ({len(values)} processes)", [*_background(scale, min_effect), *marks]))
    return _plot("strip", [*lanes, _axis(scale)], f"difference from the median of base, {unit}")


def noise(points):
    """The calibration kernel's time over the run: points are (seconds, ns)."""
    center = sorted(ns for _, ns in points)[len(points) // 2]
    end = max(1.0, max(seconds for seconds, _ in points))
    across, up = _Scale(-0.01 * end, 1.01 * end), _Scale.of([ns / center - 1 for _, ns in points] + [-0.01, 0.01])
    marks = [_mark("dot", left=across(seconds), bottom=up(ns / center - 1), background=_COLORS["SAME"])
             for seconds, ns in points]
    return _plot("noise high", [_lane("", [*_grid(up), *marks])],
                 f"from the median, {time(center)}; time since the start of the measurement, 0 to {end:.0f} s")


def trend(points, change_points, unit):
    """A history: points are dicts with label, value, low, high; change_points are indices into them; `unit` says what
    the median of their values is."""
    center = sorted(point["value"] for point in points)[len(points) // 2]
    across = _Scale(-0.5, len(points) - 0.5)
    up = _Scale.of([point[key] / center - 1 for point in points for key in ("low", "high")] + [-0.01, 0.01])
    marks = [_mark("change", points[index]["label"], left=across(index - 0.5)) for index in change_points]
    for index, point in enumerate(points):
        low, high = up(point["low"] / center - 1), up(point["high"] / center - 1)
        marks += [_mark("up", left=across(index), bottom=low, height=high - low, background=_COLORS["SAME"]),
                  _mark("dot", hint=point["label"], left=across(index), bottom=up(point["value"] / center - 1),
                        background=_COLORS["SAME"])]
    return _plot("trend high", [_lane("", [*_grid(up), *marks])],
                 f"from the median; commit and date of the record, {points[0]['label']} to {points[-1]['label']}. "
                 f"0 is the median of these records, {unit}")


class _Scale:
    """Maps values to percent of a track."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    @classmethod
    def of(cls, values):
        margin = 0.05 * (max(values) - min(values))
        return cls(min(values) - margin, max(values) + margin)

    def __call__(self, value):
        return 100 * (value - self.low) / (self.high - self.low)

    def ticks(self):
        """Four to nine values, at 1, 2 or 5 times a power of ten, with their texts."""
        raw = (self.high - self.low) / 9
        power = 10 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
        digits = max(0, -math.floor(math.log10(step * 100) + 1e-9))
        values = [index * step for index in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [(value, f"{value:+.{digits}%}" if value else "0") for value in values]


def _mark(kind, text="", hint="", **style):
    """A mark of class `kind`; numbers in its style are percent."""
    placed = ";".join(f"{key}:{value if isinstance(value, str) else f'{value:.2f}%'}" for key, value in style.items())
    title = f' title="{html.escape(hint)}"' if hint else ""
    return f'<i class="{kind}" style="{placed}"{title}>{html.escape(text)}</i>'


def _background(scale, min_effect):
    return [_mark("band", left=scale(-min_effect), width=scale(min_effect) - scale(-min_effect)),
            _mark("zero", left=scale(0))]


def _grid(up):
    return [_mark("grid", bottom=up(value)) + f'<span class="tick" style="bottom:{up(value):.2f}%">{text}</span>'
            for value, text in up.ticks()]


def _axis(scale):
    return _lane("", [f'<span style="left:{scale(value):.2f}%">{text}</span>' for value, text in scale.ticks()])


def _lane(label, marks):
    return (f'<div class="lane"><div class="label">{html.escape(label)}</div>'
            f'<div class="track">{"".join(marks)}</div></div>')


def _plot(kind, lanes, title):
    return f'<div class="plot {kind}">{"".join(lanes)}<div class="title">{html.escape(title)}</div></div>'
