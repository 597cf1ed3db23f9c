"""The comparison table: what varta and the alternatives cost."""

from report.words import Found, number, table

ROWS = [
    ("a beat from Rust", "rust", "uds"),
    ("from C", "rust", "from C, uds"),
    ("from Python", "python", "python-beat-uds"),
    ("from Node", "node", "node uds"),
    ("from Rust, to a sleeping receiver", "rust", "uds, cold after 1 ms"),
    ("from Rust, with a full queue", "rust", "uds, queue full"),
    ("from Rust, over UDP", "rust", "udp"),
    ("from Rust, sealed", "rust", "secure udp"),
    ("from Python, sealed", "python", "python-beat-secure-udp"),
    ("from Node, over UDP", "node", "node udp"),
    ("the observer receives a frame, flooded", "rust", "flood, one sender, CPU per frame"),
    ("the daemon receives a frame, flooded", "watch", "daemon flooded, one sender, CPU per frame"),
    ("the same with metrics on", "watch", "daemon flooded, one sender, metrics on, CPU per frame"),
]

OURS = ("varta", "varta connect", "varta, C", "beat", "ours")
BARE = ("bare send", "socket.send", "bare recvmmsg")
VARTA_0_2 = ("varta 0.2", "varta 0.2 beat")
OTHERS = ("sd_notify", "sdnotify", "unix-dgram", "node-unix-socket", "dgram")


def neighbours(found: Found) -> list[str]:
    """The table, with medians in nanoseconds."""
    lines = []
    for title, language, group in ROWS:
        times = found.get(language, {}).get("times", [])
        medians = {time["name"]: time["median_ns"] for time in times if time["group"] == group}
        if medians:
            others = [f"{name} {number(medians[name])}" for name in OTHERS if name in medians]
            lines.append((title, *(first(medians, of) for of in (OURS, BARE, VARTA_0_2)), ", ".join(others)))
    return table(("median, ns", "varta", "the bare call", "varta 0.2", "others"), lines)


def first(medians: dict[str, float], names: tuple[str, ...]) -> str:
    return next((number(medians[name]) for name in names if name in medians), "")
