"""Stories of processes that beat through pages, and of their tasks. Written from the specification."""

from . import chance, copies, ends, processes, promises, rules, slack, suspends
from .book import Story

CHAPTERS = (processes, promises, rules, ends, copies, suspends, slack, chance)


def lane_stories() -> list[dict]:
    return [story.document() for chapter in CHAPTERS for story in Story.of(chapter)]
