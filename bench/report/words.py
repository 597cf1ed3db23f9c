"""The report as Markdown."""

from report.verdict import MET, verdict

Found = dict[str, dict]

LANGUAGES = {
    "rust": "Rust and C",
    "python": "Python",
    "node": "Node",
    "watch": "The daemon",
    "scenarios": "The daemon with default settings and healthy agents",
    "relay": "The relay with a NATS server on the same machine",
    "fleet": "Many hosts, scraped by Prometheus and VictoriaMetrics",
}


def markdown(found: Found, pictures: list[str], neighbours: list[str]) -> str:
    parts = ["# Benchmark results", ""]
    parts += [f"![{name}]({name}.svg)\n" for name in pictures]
    parts += [*neighbours, ""]
    missed = [
        f"{LANGUAGES.get(language, language)}: {target['name']}, {verdict(target)}"
        for language, bench in found.items()
        for target in bench["targets"]
        if verdict(target) != MET
    ]
    every = sum(len(bench["targets"]) for bench in found.values())
    parts += [f"{every - len(missed)} of {every} targets are met."]
    parts += ["Not met:", "", *(f"- {line}" for line in missed)] if missed else []
    for language, bench in found.items():
        parts += ["", f"## {LANGUAGES.get(language, language)}", "", machine(bench.get("machine", {}))]
        parts += table(
            ("target", "measured", "compared with", "ratio", "limit", ""),
            [
                (
                    target["name"],
                    f"{number(target['value'])} {target['unit']}".strip(),
                    number(target["to"]),
                    ratio(target["ratio"]),
                    limit(target),
                    verdict(target),
                )
                for target in bench["targets"]
            ],
        )
        parts += table(
            ("measured side by side", "", "median, ns", "p99, ns", "ratio to the first"),
            [
                (
                    time["group"],
                    time["name"],
                    number(time["median_ns"]),
                    number(time["p99_ns"]),
                    ratio(time.get("ratio_to_first")),
                )
                for time in bench["times"]
            ],
        )
        parts += table(
            ("measured", "", ""),
            [(figure["name"], number(figure["value"]), figure["unit"]) for figure in bench["figures"]],
        )
    return "\n".join(parts) + "\n"


def machine(machine: dict) -> str:
    return ", ".join(f"{name}: {value}" for name, value in machine.items())


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = [head, ("---",) * len(head), *rows]
    return ["", *("| " + " | ".join(line) + " |" for line in lines)]


def limit(target: dict) -> str:
    if target.get("at_least") is not None:
        return f"at least {number(target['at_least'])}"
    return f"at most {number(target.get('at_most'))}"


def number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}"


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
