"""The matrix in words."""

from collections import Counter
from dataclasses import dataclass

from directory import TRANSPORTS

MARKS = {"heard": "yes", "partly": "but its child", "none": "-", "failed": "FAILED"}


@dataclass(frozen=True)
class Cell:
    """heard; partly, for a known defect of a published part; none, where it cannot be; failed."""

    is_: str
    why: str


def axes(cells: dict[tuple[str, str, str], Cell]) -> tuple[list[str], list[str], list[str]]:
    """The transports, agents and observers, each once and in order."""
    return tuple(list(dict.fromkeys(names)) for names in zip(*cells))


def table(cells: dict[tuple[str, str, str], Cell]) -> str:
    transports, agents, observers = axes(cells)
    widths = [max(map(len, agents)), *(max(len(o), len("but its child")) for o in observers)]
    lines = []
    for transport in transports:
        rows = [[TRANSPORTS[transport], *observers]]
        rows += [[a, *(MARKS[cells[transport, a, o].is_] for o in observers)] for a in agents]
        widths[0] = max(widths[0], *(len(row[0]) for row in rows))
        lines += ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
        lines.append("")
    lines += sorted({f"{MARKS[cell.is_]}: {cell.why}" for cell in cells.values() if cell.is_ in ("none", "partly")})
    for (transport, agent, observer), cell in cells.items():
        if cell.is_ == "failed":
            lines += ["", f"FAILED: {agent}, to {observer}, over {TRANSPORTS[transport]}", f"    {cell.why}"]
    counted = Counter(cell.is_ for cell in cells.values())
    lines += [
        "",
        f"{counted['heard']} agree, {counted['partly']} but for a forked child, "
        f"{counted['none']} cannot be, {counted['failed']} FAILED",
    ]
    return "\n".join(lines)
