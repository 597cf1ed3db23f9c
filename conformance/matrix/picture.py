"""The matrix as a picture."""

from html import escape

from place import TRANSPORTS
from table import Cell, axes

COLOURS = {"heard": "#2a9d5c", "partly": "#e0a526", "none": "#c9ced6", "failed": "#d43c3c"}
WORDS = {
    "heard": "both accounts agree",
    "partly": "both agree, but for a forked child (a defect of the published part)",
    "none": "the published part cannot",
    "failed": "failed",
}
SIDE, GAP, LEFT, TOP = 22, 3, 170, 150
FONT = 'font-family="system-ui, sans-serif" font-size="13"'


def picture(cells: dict[tuple[str, str, str], Cell]) -> str:
    transports, agents, observers = axes(cells)
    step = SIDE + GAP
    block = len(observers) * step + 2 * SIDE
    width, height = LEFT + len(transports) * block, TOP + len(agents) * step + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>Who hears whom: agents by row, observers by column, for each transport</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for row, agent in enumerate(agents):
        y = TOP + row * step + SIDE - 6
        parts.append(f'<text x="{LEFT - 12}" y="{y}" text-anchor="end" {FONT}>{escape(agent)}</text>')
    for number, transport in enumerate(transports):
        left = LEFT + number * block
        parts.append(
            f'<text x="{left}" y="18" {FONT} font-weight="600">{escape(TRANSPORTS[transport])}</text>'
        )
        for column, observer in enumerate(observers):
            x = left + column * step + SIDE - 6
            parts.append(
                f'<text transform="translate({x} {TOP - 8}) rotate(-60)" {FONT}>{escape(observer)}</text>'
            )
            for row, agent in enumerate(agents):
                cell = cells[transport, agent, observer]
                told = f"{agent} to {observer}: {WORDS[cell.is_]}"
                parts.append(
                    f'<rect x="{left + column * step}" y="{TOP + row * step}" width="{SIDE}" height="{SIDE}" '
                    f'rx="4" fill="{COLOURS[cell.is_]}"><title>{escape(told)}</title></rect>'
                )
    x = LEFT
    for kind in COLOURS:
        if any(cell.is_ == kind for cell in cells.values()):
            parts.append(f'<rect x="{x}" y="{height - 26}" width="14" height="14" rx="3" fill="{COLOURS[kind]}"/>')
            parts.append(f'<text x="{x + 20}" y="{height - 14}" {FONT}>{escape(WORDS[kind])}</text>')
            x += 40 + 7 * len(WORDS[kind])
    return "\n".join([*parts, "</svg>", ""])
