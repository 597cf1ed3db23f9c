"""Stories of processes that beat through pages, and of their tasks. Written from the specification."""

from . import chance, ends, processes, promises, rules
from .book import Story

CHAPTERS = (processes, promises, rules, ends, chance)


def lane_stories() -> list[dict]:
    return [story.document() for chapter in CHAPTERS for story in Story.of(chapter)]
