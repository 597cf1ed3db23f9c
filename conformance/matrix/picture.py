"""The matrix as a picture."""

from html import escape

from directory import TRANSPORTS
from table import Cell, axes

COLOURS = {"heard": "#2a9d5c", "partly": "#e0a526", "none": "#c9ced6", "failed": "#d43c3c"}
WORDS = {
    "heard": "both logs agree",
    "partly": "all but a forked child, a defect of the older part",
    "none": "not supported by the older part",
    "failed": "failed",
}
ACROSS = 2
SIDE, GAP, LEFT, HEAD, APART = 24, 4, 170, 175, 90
FONT = 'font-family="system-ui, sans-serif" font-size="14"'

Cells = dict[tuple[str, str, str], Cell]


def picture(cells: Cells) -> str:
    """A block for each transport, in two columns, and a legend."""
    transports, agents, observers = axes(cells)
    step = SIDE + GAP
    across, down = len(observers) * step + APART, HEAD + len(agents) * step + 30
    rows = -(-len(transports) // ACROSS)
    width, height = LEFT + ACROSS * across, rows * down + 40
    parts = []
    for number, transport in enumerate(transports):
        left, top = LEFT + number % ACROSS * across, number // ACROSS * down
        if number % ACROSS == 0:
            parts += [
                words(LEFT - 12, top + HEAD + row * step + SIDE - 7, agent, 'text-anchor="end"')
                for row, agent in enumerate(agents)
            ]
        parts += block(cells, transport, left, top)
    x = 24
    for kind, colour in COLOURS.items():
        if any(cell.is_ == kind for cell in cells.values()):
            y = height - 30
            parts.append(f'<rect x="{x}" y="{y}" width="14" height="14" rx="3" fill="{colour}"/>')
            parts.append(words(x + 20, y + 12, WORDS[kind]))
            x += 50 + 7 * len(WORDS[kind])
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>Interoperability: agents by row, observers by column, for each transport</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def block(cells: Cells, transport: str, left: int, top: int) -> list[str]:
    """The cells of one transport, below its name and the names of the observers."""
    _, agents, observers = axes(cells)
    step = SIDE + GAP
    parts = [words(left, top + 24, TRANSPORTS[transport], 'font-weight="600"')]
    for column, observer in enumerate(observers):
        x = left + column * step
        parts.append(words(0, 0, observer, f'transform="translate({x + SIDE - 6} {top + HEAD - 8}) rotate(-60)"'))
        for row, agent in enumerate(agents):
            cell = cells[transport, agent, observer]
            title = escape(f"{agent} to {observer}: {WORDS[cell.is_]}")
            parts.append(
                f'<rect x="{x}" y="{top + HEAD + row * step}" width="{SIDE}" height="{SIDE}" rx="4" '
                f'fill="{COLOURS[cell.is_]}"><title>{title}</title></rect>'
            )
    return parts


def words(x: int, y: int, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" {FONT} {more}>{escape(text)}</text>'
