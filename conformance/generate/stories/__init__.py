"""Stories: what an observer receives, and which events it must emit. Written from the spec."""

from . import beats, crowds, deaf, exits, network, pauses, pid_1, refused, sealed, silence
from .book import Story

CHAPTERS = (beats, silence, pauses, deaf, exits, network, sealed, refused, pid_1, crowds)


def stories() -> list[dict]:
    return [story.document() for chapter in CHAPTERS for story in Story.of(chapter)]
