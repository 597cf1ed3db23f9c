"""The tests of varta-watch 0.2 that start the program, against our varta-watch."""

import crates
import peers

PACKAGE = "varta-watch 0.2.0"

# Our daemon always has these.
FEATURES = ["prometheus-exporter", "secure-udp", "unsafe-plaintext-udp"]

MANIFEST = """
[features]
prometheus-exporter = []
secure-udp = []
unsafe-plaintext-udp = []
"""


def shipped() -> set[str]:
    return crates.shipped(peers.source("daemon"))


def run(listed: dict[str, str]) -> dict[str, str]:
    files = {test.partition("::")[0] for test in shipped() - set(listed)}
    home = crates.package("daemon", MANIFEST, peers.source("daemon"), files)
    # Cargo passes the path of the program to the tests of a crate in this variable.
    ours = {"CARGO_BIN_EXE_varta-watch": str(peers.our_daemon())}
    outcomes = {}
    for file, program in crates.build(home, FEATURES, **ours).items():
        outcomes |= crates.run(program, file, listed)
    return outcomes
