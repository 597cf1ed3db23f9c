"""What one side has of a cell, and what it means that the other has something else."""

from dataclasses import dataclass, field

Beats = dict[int, list[tuple[str, int, int]]]

UNKNOWN = "exit, cause unknown"


@dataclass
class Account:
    """What happened, as one side has it: by process, the beats and how it ended."""

    beats: Beats = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)

    def agrees(self, expected: "Account") -> bool:
        """Whether it is the same, but for a cause that nobody could tell in time: a parent that
        is slow to reap its child keeps it to itself."""
        ends = {
            pid: expected.ends[pid] if end == UNKNOWN and expected.ends.get(pid) != "silent" else end
            for pid, end in self.ends.items()
            if pid in expected.ends
        }
        return self.beats == expected.beats and ends == expected.ends

    def __str__(self) -> str:
        lines = []
        for pid, beats in sorted(self.beats.items()):
            said = ", ".join(f"{status} {payload} (nonce {nonce})" for status, payload, nonce in beats)
            lines.append(f"      {pid}: {said}; {self.ends.get(pid, 'goes on')}")
        return "\n".join(lines) or "      nothing"


class Disagreement(Exception):
    """What one side says and the other does not."""
