"""Adds the files outside docs/ that pages link to, so that no link leads out of the book."""

import posixpath
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent.parent
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def inside(page: str, link: str) -> str | None:
    """The path from the root that a page's link leads to, or None if it leads out of the tree."""
    if "://" in link or link.startswith(("mailto:", "/")):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def place(path: str) -> str:
    """The path of a file in the book. The suffix .txt makes browsers show text files."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"tree/{path}" if path.endswith((".md", ".svg", ".png")) else f"tree/{path}.txt"


def on_files(files, config):
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    known = set(waiting)
    for page in waiting:
        for _, link, _, _ in LINK.findall((ROOT / page).read_text()):
            path = inside(page, link)
            if path is None or path in known or path.startswith("docs/"):
                continue
            if not (ROOT / path).is_file():
                raise PluginError(f"{page}: the target of the link {link} does not exist")
            known.add(path)
            files.append(File.generated(config, place(path), abs_src_path=str(ROOT / path)))
            if path.endswith(".md"):
                waiting.append(path)
    return files


def on_page_markdown(markdown, page, config, files):
    source = page.file.src_uri
    origin = source.removeprefix("tree/") if source.startswith("tree/") else f"docs/{source}"

    def moved(found: re.Match) -> str:
        before, link, anchor, after = found.groups()
        path = inside(origin, link)
        if path is None:
            return found.group(0)
        return before + posixpath.relpath(place(path), posixpath.dirname(source)) + (anchor or "") + after

    return LINK.sub(moved, markdown)
