"""Builds one report from the results of all languages."""

from report.neighbours import neighbours
from report.pictures import pictures
from report.verdict import MET, verdict
from report.words import markdown

__all__ = ["MET", "markdown", "neighbours", "pictures", "verdict"]
