"""The numbers of varta.h and varta.hpp agree with conformance/tables.json, as compilers see them."""

import json
import unittest
from collections.abc import Iterator

from support import PREFIX, ROOT, STRICT, compilers, run

TABLES = json.loads((ROOT / "conformance/tables.json").read_bytes())
HEADER = (PREFIX / "include/varta.h").read_text()

CAUSE_FLAGS = ["IN_EVENT_WAIT", "TRACER", "MANY_THREADS", "NO_PERMISSION", "SHORT_WINDOW", "OWNER", "CYCLE"]
# The prefix of the constants of each table, and what else has it.
CONSTANTS = {
    "statuses": ("VARTA_STATUS_", set()),
    "drop_reasons": ("VARTA_DROPPED_", set()),
    "origins": ("VARTA_ORIGIN_", set()),
    "exit_causes": ("VARTA_EXIT_", set()),
    "decode_errors": ("VARTA_DECODE_", set()),
    "kinds": ("VARTA_EVENT_", {"VARTA_EVENT_DEAF"}),
    "promises": ("VARTA_PROMISE_", set()),
    "rules": ("VARTA_RULE_", set()),
    "endings": ("VARTA_ENDED_", set()),
    "causes": ("VARTA_CAUSE_", {f"VARTA_CAUSE_FLAG_{name}" for name in CAUSE_FLAGS} | {"VARTA_CAUSE_INFO_INIT"}),
    "certainties": ("VARTA_CERTAINTY_", set()),
}
# In varta_agent_info and varta_task_info, some fields are flags.
FLAGS = {
    "stalled": "VARTA_AGENT_STALLED",
    "unconfirmed": "VARTA_AGENT_UNCONFIRMED",
    "lane": "VARTA_AGENT_LANE",
    "idle": "VARTA_TASK_IDLE",
}


def snake(name: str) -> str:
    """`BadMagic`, `auth-failure` and `no observer` as identifiers are written in C and C++."""
    spaced = "".join(f"_{letter}" if letter.isupper() else letter for letter in name)
    return spaced.lstrip("_").replace("-", "_").replace(" ", "_").lower()


def constants() -> Iterator[str]:
    for table, (prefix, _) in CONSTANTS.items():
        for entry in TABLES[table]:
            yield f"{prefix}{snake(entry['name']).upper()} == {entry['code']}"
    limits = TABLES["limits"]
    yield f"VARTA_FRAME_BYTES == {limits['frame_bytes']}"
    yield f"VARTA_SEALED_BYTES == {limits['sealed_bytes']}"
    yield f"VARTA_SEALED_AS_BYTES == {limits['sealed_bytes_master']}"
    for struct in ("event", "task_info"):
        field = "task_name" if struct == "event" else "name"
        yield f"sizeof(((varta_{struct} *)0)->{field}) == {limits['task_name_bytes']} + 1"


def fields() -> Iterator[tuple[str, str]]:
    """Structs and fields that must be there."""
    for counter in TABLES["counters"]:
        yield "varta_observer_counters", counter["name"]
    for name in TABLES["agent_fields"]:
        if name not in FLAGS:
            yield "varta_agent_info", name
    for name in TABLES["task_fields"]:
        if name not in FLAGS:
            yield from (("varta_task_info", part) for part in {"due": ("promise", "due_ns", "label")}.get(name, (name,)))
    for name in TABLES["why_fields"] + TABLES["cause_fields"]:
        if name != "why":
            yield "varta_cause_info", name
    for name in TABLES["task_counts"]:
        yield "varta_task_counters", name
    for name in TABLES["event_fields"] + TABLES["about_fields"] + TABLES["about_task_fields"]:
        yield "varta_event", name
    for kind in TABLES["kinds"]:
        for field in kind["fields"]:
            for name in field["c"]:
                yield "varta_event", name


class Tables(unittest.TestCase):
    def compile(self, language: str, standard: str, text: str) -> None:
        for compiler in compilers(language):
            command = [compiler, "-x", language, f"-std={standard}", *STRICT]
            run(*command, f"-I{PREFIX}/include", "-fsyntax-only", "-", input=text)

    def test_c(self) -> None:
        lines = ["#include <stddef.h>", "#include <varta.h>"]
        lines += [f'_Static_assert({test}, "tables.json");' for test in constants()]
        lines += [
            f'_Static_assert(offsetof({struct}, {field}) > 0 || 1, "tables.json");'
            for struct, field in fields()
        ]
        lines += [f'_Static_assert({flag} != 0, "tables.json");' for flag in FLAGS.values()]
        lines += [f'_Static_assert(sizeof(&varta_{name}) != 0, "tables.json");' for name in TABLES["notifications"]]
        # Nothing but the counters follows size and reserved.
        size = f"sizeof(varta_observer_counters) == 8 + 8 * {len(TABLES['counters'])}"
        lines.append(f'_Static_assert({size}, "tables.json");')
        self.compile("c", "c11", "\n".join(lines) + "\n")

    def test_the_header_has_no_other_numbers(self) -> None:
        defined = {line.split()[1] for line in HEADER.splitlines() if line.startswith("#define VARTA_")}
        for table, (prefix, more) in CONSTANTS.items():
            listed = {prefix + snake(entry["name"]).upper() for entry in TABLES[table]}
            self.assertEqual({name for name in defined if name.startswith(prefix)}, listed | more)

    def test_cpp(self) -> None:
        lines = ["#include <varta.hpp>"]
        enums = (("Status", "statuses"), ("Kind", "kinds"), ("Promise", "promises"), ("Rule", "rules"), ("Ending", "endings"))
        for enum, table in enums:
            names = {snake(entry["name"]): entry["code"] for entry in TABLES[table]}
            for name, code in names.items():
                lines.append(f"static_assert(static_cast<int>(varta::{enum}::{name}) == {code});")
            # An enumerator without a case is a warning, and so an error.
            cases = " ".join(f"case varta::{enum}::{name}:" for name in names)
            lines.append(f"inline int of(varta::{enum} it) {{ switch (it) {{ {cases} return 1; }} return 0; }}")
        lines += [f"static_assert(sizeof(&varta::Agent::{name}) != 0);" for name in TABLES["notifications"]]
        self.compile("c++", "c++17", "\n".join(lines) + "\n")
