"""The log of one side of a cell, and how two logs are compared."""

from dataclasses import dataclass, field

Beats = dict[int, list[tuple[str, int, int]]]

UNKNOWN = "exit, cause unknown"

# Through shared memory, one event can stand for several beats. It shows the last one.
MERGED = ("merged", 0, 0)


@dataclass
class Log:
    """The beats and the end of each process, as one side has seen them."""

    beats: Beats = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)

    def with_merged(self, expected: Beats) -> "Log":
        """The log, with the beats that were merged into a later one as they are expected."""
        beats = {
            pid: [sent if beat == MERGED else beat for beat, sent in zip(found, expected.get(pid, []))]
            + found[len(expected.get(pid, [])) :]
            for pid, found in self.beats.items()
        }
        return Log(beats, self.ends)

    def agrees(self, expected: "Log") -> bool:
        """Whether both logs are equal. An exit may have an unknown cause, because a parent that
        reaps its child late delays the exit status."""
        ends = {
            pid: expected.ends[pid] if end == UNKNOWN and expected.ends.get(pid) != "silent" else end
            for pid, end in self.ends.items()
            if pid in expected.ends
        }
        return self.beats == expected.beats and ends == expected.ends

    def __str__(self) -> str:
        lines = []
        for pid, beats in sorted(self.beats.items()):
            text = ", ".join(f"{status} {payload} (nonce {nonce})" for status, payload, nonce in beats)
            lines.append(f"      {pid}: {text}; {self.ends.get(pid, 'running')}")
        return "\n".join(lines) or "      nothing"


class Mismatch(Exception):
    """The logs of both sides differ, or a side failed."""
