"""The growth of time and memory in docs/scale.md: a table, and a picture with a panel for each dimension.

Both follow from `benchmarks/growth.json`. `python -m benchmarks.growth_page` writes them again.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.growth import DIMENSIONS, Dimension, Growth, Point, read
from dropbatch.reporting.charts import compact
from tools.generated import with_part

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
PICTURE = ROOT / "docs" / "pictures" / "growth.svg"

MAX_EXPONENT = 1.05
STAGES = {"submit": "taking in and submitting", "collect": "collecting, results", "poll": "one poll"}
SHAPES = {
    "submit": '<circle r="4"/>',
    "collect": '<path d="M-4-4h8v8h-8z"/>',
    "poll": '<path d="M0-5l5 5-5 5-5-5z"/>',
}

Found = Mapping[str, Mapping[str, Growth]]

# The table


def part(known: Mapping[str, Any], found: Found) -> str:
    """Return the generated part of the page: the table, and on which machine it was measured."""
    head = f"| what grows | stage | from … to | time at the largest | exponent (≤ {MAX_EXPONENT}) | memory in MiB |"
    lines = [head, "| --- | --- | --- | ---: | ---: | ---: |"]
    for name, dimension in DIMENSIONS.items():
        for stage, growth in found[name].items():
            first, last = growth.points[0], growth.points[-1]
            took = seconds_text(_time(dimension, last)) + (" a row" if dimension.rows else "")
            lines.append(
                f"| {dimension.name.lower()} | {STAGES[stage]} | {first.size:,} … {last.size:,} | {took}"
                f" | {growth.exponent(dimension.rows):.2f} | {first.peak_mb:.0f} … {last.peak_mb:.0f} |"
            )
    return "\n".join([*lines, "", *_machines(known)])


def _machines(known: Mapping[str, Any]) -> Iterator[str]:
    for run, its in known["runs"].items():
        measured = [DIMENSIONS[name].name.lower() for name in DIMENSIONS if known["run_of"][name] == run]
        of = f" ({', '.join(measured)})" if len(known["runs"]) > 1 else ""
        processor = its.get("processor", its["architecture"])
        yield (
            f"Measured on {its['date']}{of} at commit {its['commit']}, with Python {its['python']} on {its['cores']}"
            f" cores of {processor}, with a load of {its['load_per_core']:g} a core."
        )


def _time(dimension: Dimension, point: Point) -> float:
    return point.seconds / (dimension.rows(point.size) if dimension.rows else 1)


def seconds_text(seconds: float) -> str:
    """Return a time with two digits, in a unit that fits."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size or unit == "µs":
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 9.95 else f"{number:.1f} {unit}".replace(".0 ", " ")
    raise AssertionError


# The picture

WIDTH, HEIGHT = 960, 700
PANEL, PANEL_HEIGHT, PANELS_A_ROW = 320, 350, 3
LEFT, PLOT = 62, 236
TIME_TOP, TIME_HEIGHT, MEMORY_TOP, MEMORY_HEIGHT = 66, 128, 224, 64

STYLE = """
  svg { --page: #fff; --text: #1d2126; --soft: #57606a; --line: #dde2e7;
    --submit: #0b5cad; --collect: #a8480c; --poll: #4d6b0f; }
  @media (prefers-color-scheme: dark) { svg { --page: #121519; --text: #e7eaed; --soft: #9ea8b3; --line: #2e353d;
    --submit: #6fb3ff; --collect: #ff9f5c; --poll: #b3d465; } }
  text { fill: var(--text); } .soft { fill: var(--soft); font-size: 12px; } .end { text-anchor: end; }
  .middle { text-anchor: middle; } .name { font-weight: 600; font-size: 15px; }
  .grid { stroke: var(--line); fill: none; } .even { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
  .submit { fill: var(--submit); stroke: var(--submit); } .collect { fill: var(--collect); stroke: var(--collect); }
  .poll { fill: var(--poll); stroke: var(--poll); }
  polyline { fill: none; stroke-width: 2; } tspan[class] { stroke: none; }
""".strip("\n")


class Axis(NamedTuple):
    """An axis: the values at its ends, with the places in the picture that these have."""

    first: float
    last: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.first) / (self.last - self.first) * (self.end - self.start), 1)


def picture(found: Found) -> str:
    """Return the picture as SVG. Its colors are those of the reader's screen, light or dark."""
    panels = [_panel(DIMENSIONS[name], stages) for name, stages in found.items()]
    placed = [
        f'<g transform="translate({number % PANELS_A_ROW * PANEL} {number // PANELS_A_ROW * PANEL_HEIGHT + 10})">'
        f"\n{text}\n</g>"
        for number, text in enumerate([*panels, _legend()])
    ]
    words = "Time and memory against size: " + "; ".join(_words(DIMENSIONS[name], its) for name, its in found.items())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
            ' font-family="system-ui, sans-serif" font-size="13">',
            f"<title>{words}</title>",
            f"<style>\n{STYLE}\n</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill: var(--page)"/>',
            *placed,
            "</svg>\n",
        ]
    )


def _words(dimension: Dimension, stages: Mapping[str, Growth]) -> str:
    each = (f"{STAGES[stage]} {growth.exponent(dimension.rows):.2f}" for stage, growth in stages.items())
    return f"{dimension.name}, exponents of {', '.join(each)}"


def _panel(dimension: Dimension, stages: Mapping[str, Growth]) -> str:
    sizes = [log10(point.size) for growth in stages.values() for point in growth.points]
    x = Axis(floor(min(sizes)), ceil(max(sizes)), LEFT, LEFT + PLOT)
    lines = [f'<text class="name" x="{LEFT}" y="18">{dimension.name}</text>', _exponents(dimension, stages)]
    lines += _times(dimension, stages, x)
    lines += _memory(stages, x)
    bottom = MEMORY_TOP + MEMORY_HEIGHT
    lines += [
        f'<text class="soft middle" x="{x(power)}" y="{bottom + 16}">{compact(10**power)}</text>'
        for power in range(int(x.first), int(x.last) + 1)
    ]
    lines.append(f'<text class="soft middle" x="{LEFT + PLOT / 2}" y="{bottom + 33}">{_what(dimension)}</text>')
    return "\n".join(lines)


def _what(dimension: Dimension) -> str:
    return dimension.name[0].lower() + dimension.name[1:]


def _exponents(dimension: Dimension, stages: Mapping[str, Growth]) -> str:
    parts = [
        f'<tspan class="{stage}">{stage} {growth.exponent(dimension.rows):.2f}</tspan>'
        for stage, growth in stages.items()
    ]
    joined = '<tspan class="soft">, </tspan>'.join(parts)
    return f'<text x="{LEFT}" y="36"><tspan class="soft">exponent: </tspan>{joined}</text>'


def _times(dimension: Dimension, stages: Mapping[str, Growth], x: Axis) -> Iterator[str]:
    """Yield the plot of the time, both axes logarithmic, with a line for growth in proportion."""
    times = {
        stage: [(log10(point.size), log10(_time(dimension, point))) for point in growth.points]
        for stage, growth in stages.items()
    }
    found = [time for points in times.values() for _, time in points]
    bottom = TIME_TOP + TIME_HEIGHT
    y = Axis(floor(min(found)), max(ceil(max(found)), floor(min(found)) + 2), bottom, TIME_TOP)
    yield from _grid(x, y)
    step = 1 if y.last - y.first < 5 else 2
    for power in range(int(y.first), int(y.last) + 1, step):
        yield f'<text class="soft end" x="{LEFT - 6}" y="{y(power) + 4}">{seconds_text(10.0**power)}</text>'
    unit = "a row" if dimension.rows else "in all"
    yield f'<text class="soft" x="{LEFT}" y="{TIME_TOP - 8}">time of the processor, {unit}</text>'
    last_size, last_time = max((points[-1] for points in times.values()), key=lambda point: point[1])
    left = max(x.first, last_size - (last_time - y.first))
    start = f"{x(left)},{y(last_time - (last_size - left))}"
    yield f'<polyline class="even" style="stroke-width: 1" points="{start} {x(last_size)},{y(last_time)}"/>'
    for stage, points in times.items():
        yield from _line(stage, points, x, y)


def _memory(stages: Mapping[str, Growth], x: Axis) -> Iterator[str]:
    """Yield the plot of the memory, whose axis begins at 0."""
    most = max(point.peak_mb for growth in stages.values() for point in growth.points)
    top = ceil(1.1 * most / 100) * 100
    y = Axis(0, top, MEMORY_TOP + MEMORY_HEIGHT, MEMORY_TOP)
    yield from _grid(x, y, top // 2)
    for value in (0, top):
        yield f'<text class="soft end" x="{LEFT - 6}" y="{y(value) + 4}">{value}</text>'
    yield f'<text class="soft" x="{LEFT}" y="{MEMORY_TOP - 8}">peak of memory, MiB</text>'
    for stage, growth in stages.items():
        yield from _line(stage, [(log10(point.size), point.peak_mb) for point in growth.points], x, y)


def _grid(x: Axis, y: Axis, step: int = 1) -> Iterator[str]:
    across = [f"M{x.start} {y(value)}H{x.end}" for value in range(int(y.first), int(y.last) + 1, step)]
    upright = [f"M{x(power)} {y.end}V{y.start}" for power in range(int(x.first), int(x.last) + 1)]
    yield f'<path class="grid" d="{"".join([*across, *upright])}"/>'


def _line(stage: str, points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> Iterator[str]:
    places = [(x(size), y(value)) for size, value in points]
    yield f'<polyline class="{stage}" style="fill: none" points="{" ".join(f"{a},{b}" for a, b in places)}"/>'
    for a, b in places:
        yield f'<g class="{stage}" transform="translate({a} {b})">{SHAPES[stage]}</g>'


def _legend() -> str:
    """Return the sixth panel, which says what the others show."""
    lines = []
    for number, (stage, words) in enumerate(STAGES.items()):
        y = 40 + 26 * number
        lines.append(f'<g class="{stage}" transform="translate({LEFT + 12} {y - 4})">{SHAPES[stage]}</g>')
        lines.append(f'<path class="{stage}" stroke-width="2" d="M{LEFT} {y - 4}h24"/>')
        lines.append(f'<text x="{LEFT + 34}" y="{y}">{stage}: {words}</text>')
    y = 40 + 26 * len(STAGES)
    lines.append(f'<path class="even" d="M{LEFT} {y - 4}h24"/>')
    lines.append(f'<text x="{LEFT + 34}" y="{y}">growth in proportion</text>')
    notes = [
        "Sizes and times are logarithmic, so a",
        "straight line is a power of the size.",
        "The exponent is the slope of the",
        "upper two decades; 1 is in proportion.",
    ]
    lines += [
        f'<text class="soft" x="{LEFT}" y="{y + 40 + 18 * number}">{note}</text>' for number, note in enumerate(notes)
    ]
    return "\n".join(lines)


def write(page: Path = PAGE, to: Path = PICTURE) -> None:
    """Write the table into the page, and the picture, unless a dimension was never measured."""
    known, found = read()
    if found.keys() == DIMENSIONS.keys():
        page.write_text(with_part(page.read_text(encoding="utf-8"), "growth", part(known, found)), encoding="utf-8")
        to.write_text(picture(found), encoding="utf-8")


if __name__ == "__main__":
    write()
