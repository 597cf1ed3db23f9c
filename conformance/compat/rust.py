"""The tests and examples of varta-client 0.2, against our crate under its name."""

import re

import crates
import peers

PACKAGE = "varta-client 0.2.0"
FEATURES = ["udp", "secure-udp", "panic-handler"]

# Preceded by the lines that docs/rust.md documents.
MANIFEST = """
varta-vlp = { path = "varta-vlp" }
[features]
udp = ["varta-client/udp"]
secure-udp = ["varta-client/secure-udp"]
panic-handler = ["varta-client/panic-handler"]
"""

VLP_MANIFEST = f"""
[package]
name = "varta-vlp"
edition = "2021"
[lib]
path = "lib.rs"
[dependencies]
varta = {{ path = "{peers.ROOT}/core" }}
"""


def documented(language: str) -> str:
    """Returns the code block in that language from the section of docs/rust.md about switching."""
    page = (peers.ROOT / "docs/rust.md").read_text()
    _, _, section = page.partition("## Switching from varta-client 0.2\n")
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return code


def shipped() -> set[str]:
    return crates.shipped(peers.source("client"))


def run(listed: dict[str, str]) -> dict[str, str]:
    files = {test.partition("::")[0] for test in shipped() - set(listed)}
    manifest = documented("toml").replace('"varta/core"', f'"{peers.ROOT}/core"') + MANIFEST
    home = crates.package("rust", manifest, peers.source("client"), files)
    vlp = home / "varta-vlp"
    vlp.mkdir(exist_ok=True)
    (vlp / "Cargo.toml").write_text(VLP_MANIFEST)
    (vlp / "lib.rs").write_text(documented("rust"))
    outcomes = {}
    for file, program in crates.build(home, FEATURES).items():
        if file.startswith("examples/"):
            outcomes[file] = "passed"  # Most never exit, so it is enough that they compile.
        else:
            outcomes |= crates.run(program, file, listed)
    return outcomes
