"""A metric's measurements as a picture: SVG, the same bytes for the same report.

Called by the command line. Nothing in it needs colour to be read: outcomes differ by their mark, the baseline by its
dashes, and all of it is said in words in the picture's description. It must not know runs or files.
Source for the roles: https://www.w3.org/TR/svg-aam-1.0/
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

from phasegate.infra.metrics.report import Measurement, MetricReport, Outcome
from phasegate.infra.policy.conditions import ConditionError, parse_condition, thresholds

_WIDTH, _PANEL, _LEFT, _RIGHT, _LINE = 720, 170, 74, 24, 16
_WRAPPED = 104
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""
_MARKS: dict[Outcome, str] = {
    "success": '<circle cx="{x}" cy="{y}" r="4" fill="#14532d"/>',
    "failure": '<path d="M{x} {y}m-5-5l10 10m0-10l-10 10" stroke="#b91c1c" stroke-width="2.5"/>',
    "inconclusive": '<path d="M{x} {y}m0-6l6 6l-6 6l-6-6z" fill="#fff" stroke="#92400e" stroke-width="1.5"/>',
    "error": '<path d="M{x} {y}m0-6l6 10h-12z" fill="#fff" stroke="#111" stroke-width="1.5"/>',
    "sampled": '<circle cx="{x}" cy="{y}" r="3" fill="#fff" stroke="#14532d" stroke-width="1.5"/>',
}
_BASELINE_MARK = '<rect x="{x}" y="{y}" width="5" height="5" transform="translate(-2.5 -2.5)" fill="#475569"/>'
_DRAWN_FOR = {"latency_ms": "p50_ms"}
"""Value that is drawn for one that is only there request by request."""


@dataclass(frozen=True)
class _Scale:
    """From moments and numbers to places in one panel."""

    begins: datetime
    seconds: float
    top: float
    low: float
    high: float

    def x(self, at: datetime) -> float:
        share = (at - self.begins).total_seconds() / self.seconds if self.seconds else 0.5
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, number: float) -> float:
        room = (self.high - self.low) * 1.08
        return round(self.top + _PANEL * (1 - (number - self.low) / room), 1)


def chart(metric: MetricReport) -> str:
    """Draw one metric's measurements over time, a panel per value that decided, with thresholds and the decision.

    Returns:
        A whole SVG document.
    """
    names, bounds = _values(metric), _bounds(metric)
    caption = _caption(metric)
    top, body = 24 + _LINE * len(caption), list[str]()
    for name in names:
        body += _panel(metric, name, [number for of, number in bounds if of == name], top)
        top += _PANEL + 62
    body += _legend(metric, top)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 20}" '
        f'viewBox="0 0 {_WIDTH} {top + 20}" role="img" aria-labelledby="title desc" '
        'font-family="system-ui, sans-serif" font-size="12" fill="none">'
    )
    title = f"{metric.name}: {metric.verdict}"
    lines = [
        head,
        f'<title id="title">{_escaped(title)}</title>',
        f'<desc id="desc">{_escaped(_description(metric, names))}</desc>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        _text(16, 22, title, size=15, bold=True),
        *(_text(16, 22 + _LINE * number, line) for number, line in enumerate(caption, 1)),
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _panel(metric: MetricReport, name: str, bounds: Sequence[float], top: float) -> list[str]:
    measurements, top = metric.measurements, top + 28
    if not measurements:
        return [_text(16, top - 10, f"{name}: nothing was measured", bold=True)]
    scale = _scale(measurements, name, bounds, top)
    low = scale.low
    lines = [
        _text(16, top - 10, name, bold=True),
        f'<path d="M{_LEFT} {top}v{_PANEL}h{_WIDTH - _LEFT - _RIGHT}" stroke="#111"/>',
        *(_text(_LEFT - 6, scale.y(number) + 4, f"{number:.4g}", end=True) for number in sorted({low, scale.high})),
    ]
    for number in bounds:
        y = scale.y(number)
        lines.append(f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#b91c1c" stroke-dasharray="2 3"/>')
        lines.append(_text(_LEFT + 6, y - 4, f"threshold {number:.4g}"))
    lines += _line(
        scale, [(measurement.at, measurement.baseline.get(name)) for measurement in measurements], "#475569", "6 4"
    )
    lines += _line(
        scale, [(measurement.at, measurement.values.get(name)) for measurement in measurements], "#14532d", ""
    )
    for measurement in measurements:
        if (beside := measurement.baseline.get(name)) is not None:
            lines.append(_BASELINE_MARK.format(x=scale.x(measurement.at), y=scale.y(beside)))
    for measurement in measurements:
        value = measurement.values.get(name)
        lines.append(
            _MARKS[measurement.outcome].format(x=scale.x(measurement.at), y=scale.y(low if value is None else value))
        )
    return [*lines, *_times(metric, scale)]


def _scale(measurements: Sequence[Measurement], name: str, bounds: Sequence[float], top: float) -> _Scale:
    """From the first measurement to the last, and from 0, or the lowest figure, to the highest."""
    figures = [
        *bounds,
        *(
            value
            for measurement in measurements
            for of in (measurement.values, measurement.baseline)
            if (value := of.get(name))
        ),
    ]
    low, high = min(0.0, *figures, 0.0), max(0.0, *figures, 0.0)
    return _Scale(
        measurements[0].at,
        (measurements[-1].at - measurements[0].at).total_seconds(),
        top,
        low,
        high if high > low else low + 1,
    )


def _times(metric: MetricReport, scale: _Scale) -> list[str]:
    """When it was measured, and where it was decided."""
    begins, ends = metric.measurements[0].at, metric.measurements[-1].at
    x, bottom = scale.x(ends), scale.top + _PANEL
    return [
        f'<path d="M{x} {scale.top - 14}V{bottom}" stroke="#111" stroke-dasharray="8 3 2 3"/>',
        _text(x - 6, scale.top - 8, f"decided: {metric.verdict}", end=True, bold=True),
        _text(_LEFT, bottom + 18, f"{begins:%Y-%m-%d %H:%M:%S} UTC"),
        _text(_WIDTH - _RIGHT, bottom + 18, f"{ends:%H:%M:%S}", end=True),
    ]


def _line(scale: _Scale, points: Iterable[tuple[datetime, float | None]], colour: str, dashes: str) -> list[str]:
    """A line that is broken where there was no number."""
    drawn, pen = "", "M"
    for at, number in points:
        drawn += f"{pen}{scale.x(at)} {scale.y(number)}" if number is not None else ""
        pen = "M" if number is None else "L"
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return [f'<path d="{drawn}" stroke="{colour}" stroke-width="1.5"{dashed}/>'] if drawn else []


def _legend(metric: MetricReport, top: float) -> list[str]:
    lines, x = list[str](), 24.0
    shown: list[Outcome] = list(dict.fromkeys(measurement.outcome for measurement in metric.measurements))
    for outcome in shown:
        lines += [_MARKS[outcome].format(x=x, y=top), _text(x + 10, top + 4, outcome)]
        x += 26 + 7 * len(outcome)
    if any(measurement.baseline for measurement in metric.measurements):
        lines += [_BASELINE_MARK.format(x=x, y=top), _text(x + 10, top + 4, "the release it is compared with")]
    return lines


def _values(metric: MetricReport) -> list[str]:
    """The values that decided; the first that there is, where nothing did."""
    names = [name for name, _ in _bounds(metric)]
    if metric.comparison is not None:
        names.append(_DRAWN_FOR.get(metric.comparison.value, metric.comparison.value))
    measured = [name for measurement in metric.measurements for name in measurement.values]
    return list(dict.fromkeys(names)) or measured[:1]


def _bounds(metric: MetricReport) -> list[tuple[str, float]]:
    bounds: list[tuple[str, float]] = []
    for text in filter(None, (metric.success_condition, metric.failure_condition)):
        names = set(re.findall(r"[^\W\d]\w*", text))  # it held when it was measured: it needs no names but its own
        with suppress(ConditionError):
            bounds += thresholds(parse_condition(text, names))
    return list(dict.fromkeys(bounds))


def _caption(metric: MetricReport) -> list[str]:
    lines = textwrap.wrap(metric.reason, _WRAPPED)
    conditions = [("succeeds when", metric.success_condition), ("fails when", metric.failure_condition)]
    lines += [line for how, text in conditions if text for line in textwrap.wrap(f"{how} {text}", _WRAPPED)]
    return lines + (textwrap.wrap(metric.comparison.sentence(), _WRAPPED) if metric.comparison else [])


def _description(metric: MetricReport, names: Sequence[str]) -> str:
    sentences = [f"{metric.name} {metric.verdict}: {metric.reason}."]
    for measurement in metric.measurements:
        values = ", ".join(
            f"{name} {_figure(measurement.values.get(name))}{_beside(measurement, name)}" for name in names
        )
        sentences.append(f"{measurement.at:%H:%M:%S} {measurement.outcome}: {values}.")
    return " ".join(sentences)


def _beside(measurement: Measurement, name: str) -> str:
    return f" (baseline {_figure(measurement.baseline.get(name))})" if measurement.baseline else ""


def _figure(number: float | None) -> str:
    return "no number" if number is None else f"{number:.4g}"


def _text(x: float, y: float, text: str, *, size: int = 12, bold: bool = False, end: bool = False) -> str:
    looks = f' font-size="{size}"' + (' font-weight="600"' if bold else "") + (' text-anchor="end"' if end else "")
    return f'<text x="{round(x, 1)}" y="{round(y, 1)}" fill="#111"{looks}>{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return escape(_UNPRINTABLE.sub("\ufffd", text))
