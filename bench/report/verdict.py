"""Decides whether a target is met."""

import math

MET, NOT_MET, NOT_MEASURED = "met", "NOT MET", "NOT MEASURED"


def verdict(target: dict) -> str:
    """A target whose condition did not occur is not measured, which does not count as met."""
    value = target["value"] if target.get("ratio") is None else target["ratio"]
    if not target["measured"] or value is None or not math.isfinite(value):
        return NOT_MEASURED
    least = target.get("at_least")
    good = value <= target["at_most"] if least is None else value >= least
    return MET if good else NOT_MET
