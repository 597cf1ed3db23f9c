"""The matrix as text."""

from collections import Counter
from dataclasses import dataclass

from directory import TRANSPORTS

MARKS = {"heard": "yes", "partly": "not its child", "none": "-", "failed": "FAILED"}


@dataclass(frozen=True)
class Cell:
    """The result of a cell. "partly" is a known defect of varta 0.1 or 0.2, "none" is not supported."""

    is_: str
    why: str


def axes(cells: dict[tuple[str, str, str], Cell]) -> tuple[list[str], list[str], list[str]]:
    """The transports, agents and observers, each once and in order."""
    return tuple(list(dict.fromkeys(names)) for names in zip(*cells))


def table(cells: dict[tuple[str, str, str], Cell]) -> str:
    transports, agents, observers = axes(cells)
    widths = [max(map(len, agents)), *(max(len(o), len("not its child")) for o in observers)]
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
    counts = Counter(cell.is_ for cell in cells.values())
    lines += [
        "",
        f"{counts['heard']} agree, {counts['partly']} except for a forked child, "
        f"{counts['none']} not supported, {counts['failed']} FAILED",
    ]
    return "\n".join(lines)
