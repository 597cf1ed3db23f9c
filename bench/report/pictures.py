"""The bar charts of the report, drawn as SVG without dependencies."""

from html import escape
from typing import NamedTuple

from report.words import Found, number

OURS, BARE, OTHER = "#12837a", "#8c96a3", "#d9822b"
WIDTH, LABEL, VALUE, BAR, GAP = 860, 330, 110, 18, 6
FONT = 'font-family="system-ui, sans-serif"'


class Bar(NamedTuple):
    label: str
    value: float
    colour: str


Section = tuple[str, list[Bar]]


def pictures(found: Found) -> dict[str, str]:
    """All charts for which there are measurements."""
    wanted = {
        "beat": ("Cost of a beat over a Unix socket, to a receiver that keeps up", "ns", beats(found)),
        "networks": ("Cost of a beat over UDP", "ns", networks(found)),
        "cold": ("Cost of a beat over a Unix socket, when agent and receiver sleep in between", "ns", cold(found)),
        "receiving": ("CPU time of the observer per frame, under a flood", "ns", receiving(found)),
        "rate": ("Frames received per second, under a flood", "/s", rates(found)),
        "agents": ("Cost of a beat in the observer, by the number of agents", "ns", agents(found)),
        "detection": ("Time from an agent's deadline to the event, p99", "µs", detection(found)),
    }
    return {name: draw(*drawing) for name, drawing in wanted.items() if drawing[2]}


def rows(found: Found, language: str, group: str) -> list[dict]:
    times = found.get(language, {}).get("times", [])
    return [time for time in times if time["group"] == group]


def colour(name: str) -> str:
    if any(word in name for word in ("bare", "socket.send", "no flags")):
        return BARE
    ours = name.startswith(("varta", "beat", "Varta")) or name == "ours"
    return OURS if ours and "0.2" not in name else OTHER


def section(title: str, times: list[dict], key: str = "median_ns", unit: float = 1) -> list[Section]:
    bars = [Bar(time["name"], time[key] / unit, colour(time["name"])) for time in times]
    return [(title, bars)] if bars else []


def beats(found: Found) -> list[Section]:
    return [
        *section("Rust", rows(found, "rust", "uds")),
        *section("C", rows(found, "rust", "from C, uds")),
        *section("Python", rows(found, "python", "python-beat-uds")),
        *section("Node", rows(found, "node", "node uds")),
    ]


def networks(found: Found) -> list[Section]:
    return [
        *section("Rust, plain", rows(found, "rust", "udp")),
        *section("Rust, sealed", rows(found, "rust", "secure udp")),
        *section("Python, sealed", rows(found, "python", "python-beat-secure-udp")),
        *section("Node, plain", rows(found, "node", "node udp")),
    ]


def cold(found: Found) -> list[Section]:
    return [
        *section("after 1 ms", rows(found, "rust", "uds, cold after 1 ms")),
        *section("after 10 ms", rows(found, "rust", "uds, cold after 10 ms")),
    ]


def receiving(found: Found) -> list[Section]:
    return [
        *section("one sender", rows(found, "rust", "flood, one sender, CPU per frame")),
        *section("two senders", rows(found, "rust", "flood, two senders, CPU per frame")),
    ]


def rates(found: Found) -> list[Section]:
    flooded = [
        ("observer, one sender", "rust", "flood, one sender, "),
        ("observer, two senders", "rust", "flood, two senders, "),
        ("daemon, one sender", "watch", "daemon flooded, one sender, frames a second: "),
        ("daemon, one sender, metrics on", "watch", "daemon flooded, one sender, metrics on, frames a second: "),
    ]
    return [part for title, language, start in flooded for part in figures(found, title, language, start)]


def figures(found: Found, title: str, language: str, start: str) -> list[Section]:
    there = found.get(language, {}).get("figures", [])
    values = {figure["name"].removeprefix(start): figure["value"] for figure in there if figure["name"].startswith(start)}
    bars = [Bar(name, value, colour(name)) for name, value in values.items()]
    return [(title, bars)] if bars else []


def agents(found: Found) -> list[Section]:
    return [
        *section("without receiving", rows(found, "rust", "tracker, a beat")),
        *section("with receiving", rows(found, "rust", "by agents, drained, per frame")),
    ]


def detection(found: Found) -> list[Section]:
    group = "stall event after its deadline, {} ms"
    return [
        part
        for threshold in (50, 120, 150, 250)
        for part in section(
            f"threshold {threshold} ms", rows(found, "rust", group.format(threshold)), "p99_ns", 1000
        )
    ]


def draw(title: str, unit: str, sections: list[Section]) -> str:
    largest = max(bar.value for _, bars in sections for bar in bars) or 1
    room = WIDTH - LABEL - VALUE
    y, parts = 56, []
    for name, bars in sections:
        parts.append(f'<text x="20" y="{y}" {FONT} font-size="14" font-weight="600">{escape(name)}</text>')
        y += 10
        for bar in bars:
            length = max(1, room * bar.value / largest)
            parts += [
                f'<text x="{LABEL - 10}" y="{y + 13}" text-anchor="end" {FONT} font-size="13">'
                f"{escape(bar.label)}</text>",
                f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{bar.colour}"/>',
                f'<text x="{LABEL + length + 8:.1f}" y="{y + 13}" {FONT} font-size="13">'
                f"{number(round(bar.value, 1))} {unit}</text>",
            ]
            y += BAR + GAP
        y += 24
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
        f'<text x="20" y="28" {FONT} font-size="16" font-weight="700">{escape(title)}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])
