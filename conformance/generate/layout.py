"""The layout of the files."""

import json


def text_of(document: dict) -> str:
    """JSON for human readers: each step and each event of a story is one line."""
    array = next((name for name in ("stories", "lane_stories") if name in document), None)
    if array is None:
        return json.dumps(document, indent=2) + "\n"
    *head, last = json.dumps({**document, array: None}, indent=2).rpartition("null")
    stories = ",\n    ".join(story_text(story) for story in document[array])
    return f"{head[0]}[\n    {stories}\n  ]{last}\n"


def story_text(story: dict) -> str:
    parts = []
    for name, value in story.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            lines = ",".join(f"\n        {json.dumps(item)}" for item in value)
            text = f"[{lines}\n      ]"
        parts.append(f"\n      {json.dumps(name)}: {text}")
    return f"{{{','.join(parts)}\n    }}"
