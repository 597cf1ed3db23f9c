"""Stories of processes that beat through pages, and of their tasks. Written from the specification."""

from . import cause_looks, causes, chance, copies, ends, names, processes, promises, rules, slack, suspends
from .book import Story

CHAPTERS = (processes, promises, rules, ends, copies, suspends, slack, names, causes, cause_looks, chance)


def lane_stories() -> list[dict]:
    return [story.document() for chapter in CHAPTERS for story in Story.of(chapter)]
