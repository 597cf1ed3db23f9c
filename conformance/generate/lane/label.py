"""The name by which an agent is shown, written only from the specification."""

LONGEST = 63
# Controls, marks of the writing direction, and separators of lines and paragraphs.
UNSAFE = (
    *map(chr, (*range(0x20), *range(0x7F, 0xA0))),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029",
)


def label_of(name: str) -> str:
    """What is shown for a name: text of at most 63 bytes that no terminal interprets."""
    name = name.split("\0")[0].strip(" \t\n\f\r")
    shown = "".join(f"\\u{{{ord(each):x}}}" if each in UNSAFE else each for each in name)
    return shown.encode()[:LONGEST].decode(errors="ignore")
