"""The plots of the reports, as SVG text.  Every text given is escaped here."""

import html
import math

from tools.perf.row_text import time, wrapped

WIDTH = 860
_LEFT, _RIGHT = 340, 20
# Of a plot without labels in the margin, beside the ticks and the title of its axis.
_PLOT_LEFT = 80
# Of a label in the left margin: so many characters of 12 pixels fit, of most fonts.
_LABEL_LENGTH, _LINE_HEIGHT = 48, 14

COLORS = {
    "SAME": "#4c78a8", "SLOWER": "#d62728", "FASTER": "#2ca02c", "UNSURE": "#b8860b", "base": "#777777",
    "cand": "#4c78a8",
}


def forest(rows, min_effect):
    """One line per benchmark: the shift and its 95 % interval over a band of +-min_effect."""
    reach = max([2 * min_effect] + [abs(row[key]) for row in rows for key in ("shift_low", "shift_high")])
    scale = _Scale(-1.1 * reach, 1.1 * reach)
    heights = [10 + _LINE_HEIGHT * len(wrapped(row["label"], _LABEL_LENGTH)) for row in rows]
    height = sum(heights) + 60
    parts = [_band(scale, -min_effect, min_effect, height - 50), _percent_axis(scale, height - 50),
             _axis_title(scale, height - 10, "shift of cand against base, with its 95 % interval")]
    for index, row in enumerate(rows):
        y = 6 + sum(heights[:index]) + heights[index] // 2
        color = COLORS.get(row["verdict"], "#000000")
        parts += [
            _label(row["label"], y),
            f'<line x1="{scale(row["shift_low"]):.1f}" x2="{scale(row["shift_high"]):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{color}" stroke-width="3"/>',
            f'<circle cx="{scale(row["shift"]):.1f}" cy="{y}" r="5" fill="{color}"/>',
        ]
    return _svg("forest", height, parts)


def strip(base, cand, min_effect, unit):
    """Every process of both sides as a dot, relative to the median of base; `unit` says what that is."""
    center = sorted(base)[len(base) // 2]
    lanes = {"base": [value / center - 1 for value in base], "cand": [value / center - 1 for value in cand]}
    every = lanes["base"] + lanes["cand"] + [-min_effect, min_effect]
    margin = 0.05 * (max(every) - min(every))
    scale = _Scale(min(every) - margin, max(every) + margin)
    parts = [_band(scale, -min_effect, min_effect, 70), _percent_axis(scale, 70),
             _axis_title(scale, 110, f"difference from the median of base, {unit}")]
    for lane, (side, values) in enumerate(lanes.items()):
        y = 20 + 32 * lane
        parts.append(_label(f"{side} ({len(values)} processes)", y))
        for index, value in enumerate(values):
            # Dots of a lane are spread over three heights, so that equal values stay visible.
            offset = (index % 3 - 1) * 5
            parts.append(
                f'<circle cx="{scale(value):.1f}" cy="{y + offset}" r="3.5" fill="{COLORS[side]}" fill-opacity="0.6"/>')
        median = sorted(values)[len(values) // 2]
        parts.append(
            f'<line x1="{scale(median):.1f}" x2="{scale(median):.1f}" y1="{y - 12}" y2="{y + 12}" stroke="#000"/>')
    return _svg("strip", 120, parts)


def noise(points):
    """The calibration kernel's time over the run: points are (seconds, ns)."""
    center = sorted(ns for _, ns in points)[len(points) // 2]
    relative = [(seconds, ns / center - 1) for seconds, ns in points]
    across = _Scale(0, max(1.0, max(seconds for seconds, _ in points)), left=_PLOT_LEFT)
    up = _Vertical(relative, 150)
    parts = [up.axis(_PLOT_LEFT)]
    parts += [
        f'<circle cx="{across(seconds):.1f}" cy="{up(value):.1f}" r="2.5" fill="#4c78a8" fill-opacity="0.6"/>'
        for seconds, value in relative
    ]
    parts.append(_text(WIDTH - _RIGHT, 175, f"{points[-1][0]:.0f} s", "end"))
    parts.append(_text(_PLOT_LEFT, 175, "0 s", "start"))
    parts.append(_axis_title(across, 175, "time since the start of the measurement"))
    parts.append(_vertical_title(80, f"from the median, {time(center)}"))
    return _svg("noise", 185, parts)


def trend(points, change_points, unit):
    """A history: points are dicts with label, value, low, high; change_points are indices into them; `unit` says what
    the median of their values is."""
    center = sorted(point["value"] for point in points)[len(points) // 2]
    across = _Scale(-0.5, len(points) - 0.5, left=_PLOT_LEFT)
    up = _Vertical([(0, point[key] / center - 1) for point in points for key in ("low", "high")], 190)
    parts = [up.axis(_PLOT_LEFT)]
    for index in change_points:
        x = across(index - 0.5)
        parts.append(f'<line class="change" x1="{x:.1f}" x2="{x:.1f}" y1="10" y2="190" stroke="#d62728" '
                     f'stroke-dasharray="4 3"/>')
        parts.append(_text(x + 4, 20, points[index]["label"], "start"))
    path = " ".join(f"{across(i):.1f},{up(point['value'] / center - 1):.1f}" for i, point in enumerate(points))
    parts.append(f'<polyline points="{path}" fill="none" stroke="#4c78a8" stroke-width="1.5"/>')
    for index, point in enumerate(points):
        x = across(index)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{up(point["low"] / center - 1):.1f}" '
                     f'y2="{up(point["high"] / center - 1):.1f}" stroke="#4c78a8" stroke-opacity="0.4" '
                     f'stroke-width="3"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{up(point["value"] / center - 1):.1f}" r="3" fill="#4c78a8">'
                     f'<title>{html.escape(point["label"])}</title></circle>')
    parts.append(_text(across(0), 215, points[0]["label"], "start"))
    parts.append(_text(WIDTH - _RIGHT, 215, points[-1]["label"], "end"))
    parts.append(_axis_title(across, 235, "commit and date of the record"))
    parts.append(_vertical_title(100, "from the median"))
    parts.append(_text(_PLOT_LEFT, 255, f"0 is the median of these records, {unit}", "start"))
    return _svg("trend", 265, parts)


def _axis_title(scale, y, title):
    return _text((scale(scale.low) + scale(scale.high)) / 2, y, title, "middle")


def _vertical_title(y, title):
    return (f'<text transform="rotate(-90 12 {y})" x="12" y="{y}" text-anchor="middle">{html.escape(title)}</text>')


class _Scale:
    """Maps values to x."""

    def __init__(self, low, high, left=_LEFT):
        self.low, self.high, self._left = low, high, left

    def __call__(self, value):
        return self._left + (value - self.low) / (self.high - self.low) * (WIDTH - _RIGHT - self._left)

    def ticks(self):
        step = _step(self.high - self.low)
        first = math.ceil(self.low / step)
        return [index * step for index in range(first, math.floor(self.high / step) + 1)]


class _Vertical:
    """Maps relative values to y, upwards, between 10 and `bottom`."""

    def __init__(self, points, bottom):
        values = [value for _, value in points] + [-0.01, 0.01]
        self._low, self._high, self._bottom = min(values), max(values), bottom

    def __call__(self, value):
        return self._bottom - (value - self._low) / (self._high - self._low) * (self._bottom - 10)

    def axis(self, x):
        step = _step(self._high - self._low)
        parts = []
        for index in range(math.ceil(self._low / step), math.floor(self._high / step) + 1):
            y = self(index * step)
            parts.append(f'<line x1="{x}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
            parts.append(_text(x - 5, y + 4, _percent(index * step, step), "end"))
        return "".join(parts)


def _step(span):
    """Four to nine ticks, at 1, 2 or 5 times a power of ten."""
    raw = span / 9
    power = 10 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)


def _percent(value, step):
    digits = max(0, -math.floor(math.log10(step * 100) + 1e-9))
    return f"{value:+.{digits}%}" if value else "0"


def _svg(kind, height, parts):
    return (f'<svg class="{kind}" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
            + "".join(parts) + "</svg>")


def _text(x, y, text, anchor):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _label(text, y):
    """Right-aligned in the left margin, in as many lines as it needs, centred at y."""
    lines = wrapped(text, _LABEL_LENGTH)
    top = y + 4 - _LINE_HEIGHT * (len(lines) - 1) / 2
    return "".join(_text(_LEFT - 10, top + _LINE_HEIGHT * index, line, "end") for index, line in enumerate(lines))


def _band(scale, low, high, bottom):
    return (f'<rect x="{scale(low):.1f}" width="{scale(high) - scale(low):.1f}" y="0" height="{bottom}" '
            f'fill="#eef3ee"/><line x1="{scale(0):.1f}" x2="{scale(0):.1f}" y1="0" y2="{bottom}" stroke="#999999"/>')


def _percent_axis(scale, y):
    ticks = scale.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.01
    return "".join(_text(scale(tick), y + 18, _percent(tick, step), "middle") for tick in ticks)
