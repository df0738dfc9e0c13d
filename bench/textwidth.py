"""How wide a text is in DejaVu Sans, the widest of the fonts that charts and drawings are seen in.

What fits in it fits in Arial, Helvetica, Roboto and Segoe UI, which are narrower.
"""

from typing import Final

__all__ = ["width", "wrapped"]

# Characters by their advance, in hundredths of the font's size, from the fonts' own tables.
_PLAIN: Final = {
    27: "'",
    28: "ijl",
    29: "IJ",
    32: " ,.\N{NO-BREAK SPACE}",
    34: "/:;\\|",
    35: "f",
    36: "-",
    39: "()[]t",
    41: "!r",
    46: '"',
    50: "*_`\N{DAGGER}",
    52: "sz",
    55: "?c",
    58: "FLk",
    60: "Pvxy",
    61: "TYao",
    63: "ESbdeghnpqu",
    64: "$0123456789{}\N{MICRO SIGN}",
    70: "ABCKRVXZ",
    75: "HNU",
    79: "&DGOQ",
    84: "#+<=>^~w\N{MULTIPLICATION SIGN}",
    86: "M",
    100: "%@Wm",
}
_BOLD: Final = {
    31: "'",
    35: "ijl \N{NO-BREAK SPACE}",
    38: "/IJ\\|,.",
    42: "-:;",
    46: "f!()[]",
    49: "tr",
    52: '_`"*',
    60: "?zcs",
    65: "Lvxy",
    69: "EFTakeo",
    70: "$0123456789",
    73: "CPSYZbdghnpqu{}",
    77: "ABKRVX",
    83: "DGU",
    87: "#+<=>HN^~&OQ\N{MULTIPLICATION SIGN}",
    92: "w",
    110: "%@MWm",
}
_WIDTHS: Final = [
    {character: size for size, characters in table.items() for character in characters}
    for table in (_PLAIN, _BOLD)
]


def width(text: str, size: float, bold: bool = False) -> float:
    """Return the pixels that a text takes at a font size in pixels; unknown characters are wide."""
    widths = _WIDTHS[bold]
    return sum(widths.get(character, 100) for character in text) * size / 100


def wrapped(text: str, size: float, room: float) -> list[str]:
    """Return the text in lines that each take at most `room` pixels, unless one word takes more."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
