"""Character sets of MySQL and MariaDB: from the number of a collation to text.

The numbers are those of MySQL 9.7 and of MariaDB 11.8, which agree where both have one. Bytes that
a server itself cannot convert become U+FFFD, as it stores them without complaint.
"""
# ruff: noqa: RUF001  # tables of characters have characters that look alike

import codecs
import re
from collections.abc import Callable
from typing import Final

__all__ = ["BINARY", "charset_of", "decoder_of"]

BINARY: Final = 63  # the collation of bytes

# Runs of collations: the first and the last number, and their character set.
_RUNS: Final = """
1 1 big5 2 2 latin2 3 3 dec8 4 4 cp850 5 5 latin1 6 6 hp8 7 7 koi8r 8 8 latin1 9 9 latin2 10 10 swe7
11 11 ascii 12 12 ujis 13 13 sjis 14 14 cp1251 15 15 latin1 16 16 hebrew 18 18 tis620 19 19 euckr
20 20 latin7 21 21 latin2 22 22 koi8u 23 23 cp1251 24 24 gb2312 25 25 greek 26 26 cp1250 27 27
latin2 28 28 gbk 29 29 cp1257 30 30 latin5 31 31 latin1 32 32 armscii8 33 33 utf8mb3 34 34 cp1250 35
35 ucs2 36 36 cp866 37 37 keybcs2 38 38 macce 39 39 macroman 40 40 cp852 41 42 latin7 43 43 macce 44
44 cp1250 45 46 utf8mb4 47 49 latin1 50 52 cp1251 53 53 macroman 54 55 utf16 56 56 utf16le 57 57
cp1256 58 59 cp1257 60 61 utf32 62 62 utf16le 63 63 binary 64 64 armscii8 65 65 ascii 66 66 cp1250
67 67 cp1256 68 68 cp866 69 69 dec8 70 70 greek 71 71 hebrew 72 72 hp8 73 73 keybcs2 74 74 koi8r 75
75 koi8u 76 76 utf8mb3 77 77 latin2 78 78 latin5 79 79 latin7 80 80 cp850 81 81 cp852 82 82 swe7 83
83 utf8mb3 84 84 big5 85 85 euckr 86 86 gb2312 87 87 gbk 88 88 sjis 89 89 tis620 90 90 ucs2 91 91
ujis 92 93 geostd8 94 94 latin1 95 96 cp932 97 98 eucjpms 99 99 cp1250 101 124 utf16 128 151 ucs2
159 159 ucs2 160 183 utf32 192 215 utf8mb3 223 223 utf8mb3 224 247 utf8mb4 248 250 gb18030 255 323
utf8mb4 576 579 utf8mb3 608 611 utf8mb4 640 642 ucs2 672 674 utf16 736 738 utf32
"""
_RUN: Final = re.compile(r"(\d+)\s+(\d+)\s+(\w+)")
_NOPAD: Final = 1024  # MariaDB's collations without padding are those of the same number below
_UCA1400: Final = 2048  # and 256 numbers for each character set begin here
_UCA1400_SETS: Final = ("utf8mb3", "utf8mb4", "ucs2", "utf16", "utf32")

# Python's codecs. Those of one byte a character differ from the servers' in what _CHANGED says.
_CODECS: Final = {
    "ascii": "ascii",
    "big5": "big5",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "cp932": "cp932",
    "eucjpms": "euc_jp",
    "euckr": "cp949",
    "gb18030": "gb18030",
    "gb2312": "gb2312",
    "gbk": "gbk",
    "greek": "iso8859_7",
    "hebrew": "iso8859_8",
    "hp8": "hp_roman8",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "latin1": "cp1252",
    "latin2": "iso8859_2",
    "latin5": "iso8859_9",
    "latin7": "iso8859_13",
    "macce": "mac_latin2",
    "macroman": "mac_roman",
    "sjis": "shift_jis",
    "tis620": "tis_620",
    "ucs2": "utf_16_be",
    "ujis": "euc_jp",
    "utf16": "utf_16_be",
    "utf16le": "utf_16_le",
    "utf32": "utf_32_be",
    "utf8mb3": "utf_8",
    "utf8mb4": "utf_8",
}
_UNICODE: Final = "ucs2 utf16 utf16le utf32 utf8mb3 utf8mb4"
# Those of more bytes a character: which bytes belong together. A server stores only such ones.
_TWO: Final = rb"[\x81-\xfe][\x40-\xfe]"
_EUC: Final = rb"\x8f[\xa1-\xfe][\xa1-\xfe]|\x8e[\xa1-\xdf]|[\xa1-\xfe][\xa1-\xfe]"
_SJIS: Final = rb"[\x81-\x9f\xe0-\xfc][\x40-\xfc]"
_WIDE: Final = {
    "big5": _TWO,
    "cp932": _SJIS,
    "eucjpms": _EUC,
    "euckr": _TWO,
    "gb18030": rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]|" + _TWO,
    "gb2312": _TWO,
    "gbk": _TWO,
    "sjis": _SJIS,
    "ujis": _EUC,
}
_CHANGED: Final = {
    "cp1256": {0x8A: "", 0x8F: "", 0x98: "", 0x9A: "", 0x9F: "", 0xAA: "", 0xC0: "", 0xFF: ""},
    "cp866": {0xFC: "\u207f", 0xFD: "\u00b2"},
    "greek": {0xA1: "\u02bd", 0xA2: "\u02bc", 0xA4: "", 0xA5: "", 0xAA: ""},
    "hebrew": {0xAF: "\u203e"},
    "koi8u": {0x95: "\u2022"},
    "latin1": {byte: chr(byte) for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)},
}
# The upper halves of those for which Python has no codec; a space is no character.
_LATIN: Final = "".join(map(chr, range(0x80, 0xA1)))
_UPPER: Final = {
    "armscii8": _LATIN
    + (
        "❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸ"
        "ըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈ"
        "ոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'"
    ),
    "dec8": _LATIN
    + (
        "¡¢£ ¥ §¤©ª«    °±²³ µ¶· ¹º»¼½ ¿À"
        "ÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ ÑÒÓÔÕÖŒØÙÚÛÜŸ ßà"
        "áâãäåæçèéêëìíîï ñòóôõöœøùúûüÿ  "
    ),
    "geostd8": (
        "€ ‚ „…†‡ ‰ ‹     ‘’“”•–—   ›    "
        "\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿"
        "აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწ"
        "ჭხჴჯჰჵ                       №  "
    ),
    "keybcs2": (
        "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘť"
        "áíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
        "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
        "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0"
    ),
}
# Characters of more bytes that Python's codecs have otherwise: the first one, and those from there.
_BIG5_C6A1: Final = (
    "ヾゝゞ々"
    + "".join(map(chr, [*range(0x3041, 0x3094), *range(0x30A1, 0x30F7)]))
    + "ДЕЁЖЗИЙКЛМУФХЦЧШЩЪЫЬЭЮЯабвгдеёжзийклмнопрстуфхцчшщъыьэюя①②③④⑤⑥⑦⑧⑨⑩⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽"
)
# Those of which neither server knows what they are, as others stand for the same.
_BIG5_LOST: Final = frozenset((0xA15A, 0xA1C3, 0xA1C5, 0xA1FE, 0xA240, 0xA2CC, 0xA2CE))
_EUCJPMS_F3F3: Final = (
    "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ＇＂㈱№℡炻仼僴凬匇匤﨎咊坙﨏塚增寬峵嵓﨑德悅愠敎昻晥晴朗栁﨓﨔"
    "橫櫢淸淲瀨凞猪甁皂皞益礰礼神祥福竧靖精綠緖羽荢﨟薰蘒﨡蠇諸譿賴赶﨣﨤逸郞都鄕﨧﨨閒隆﨩霻靍靑飯飼館馞髙魲鶴黑"
)
_SWE7: Final = dict(zip(b"@[\\]^`{|}~", "ÉÄÖÅÜéäöåü", strict=True))

_SETS: Final = {
    number: name
    for first, last, name in _RUN.findall(_RUNS)
    for number in range(int(first), int(last) + 1)
}


def charset_of(collation: int) -> str | None:
    """Return the name of a collation's character set, or None for a number that is not known."""
    if collation >= _UCA1400:
        block = (collation - _UCA1400) >> 8
        return _UCA1400_SETS[block] if block < len(_UCA1400_SETS) else None
    if collation > _NOPAD:
        collation -= _NOPAD
    return _SETS.get(collation)


def _table(name: str) -> str:
    """Return the 256 characters of a set that has one byte for each."""
    if name == "swe7":
        lower = [_SWE7.get(code, chr(code)) for code in range(127)]
        return "".join(lower) + "\ufffd" * 129
    if name in _UPPER:
        return "".join(map(chr, range(128))) + _UPPER[name].replace(" ", "\ufffd")
    changed = {code: text or "\ufffd" for code, text in _CHANGED.get(name, {}).items()}
    known = (bytes([code]).decode(_CODECS[name], "replace") for code in range(256))
    return "".join(changed.get(code, text) for code, text in enumerate(known))


def _big5(char: bytes) -> str | None:
    first, second = char
    code = first << 8 | second
    if code in _BIG5_LOST:
        return "\ufffd"
    if not 0xC6A1 <= code <= 0xC7FC:
        return dict(zip(range(0xD6, 0xDD), "碁銹裏墻恒粧嫺", strict=True)).get(
            second if first == 0xF9 else 0
        )
    row = second - (0x40 if second < 0x80 else 0x62)  # 157 in a row, the first of it from 0x40
    return _BIG5_C6A1[(first - 0xC6) * 157 + row - 63]


def _euc(char: bytes) -> str | None:
    """Return a character of the rows for users' own, which both sets of EUC have."""
    row, cell = char[-2] - 0xA1, char[-1] - 0xA1
    if len(char) < 2 or char[0] == 0x8E or row < 84:
        return None
    return chr((0xE3AC if len(char) == 3 else 0xE000) + 94 * (row - 84) + cell)


def _ujis(char: bytes) -> str | None:
    return "\\" if char == b"\xa1\xc0" else _euc(char)


def _eucjpms(char: bytes) -> str | None:
    own = _euc(char)
    if own is not None or char[0] == 0x8E:
        return own
    row, cell = char[-2] - 0xA1, char[-1] - 0xA1
    if len(char) == 3:
        place = 94 * (row - 82) + cell - 82  # from f3f3 on
        if place >= 0:
            return _EUCJPMS_F3F3[place]
        return {b"\xa2\xb7": "～", b"\xa2\xc3": "￤"}.get(char[1:])
    # The same character of cp932, which has two rows in one.
    first = (row >> 1) + (0x81 if row < 62 else 0xC1)
    second = cell + (0x9F if row & 1 else 0x40 + (cell >= 63))
    text = bytes([first, second]).decode("cp932", "replace")
    return text if len(text) == 1 else "\ufffd"


_OWN: Final[dict[str, Callable[[bytes], str | None]]] = {
    "big5": _big5,
    "eucjpms": _eucjpms,
    "gb18030": {b"\xa8\xbc": "\u1e3f"}.get,
    "sjis": {b"\x81\x5f": "\\"}.get,
    "ujis": _ujis,
}


class _Characters(dict[bytes, str]):
    """The characters of a set of more bytes, each found once."""

    def __init__(self, charset: str) -> None:
        self._codec = _CODECS[charset]
        self._own = _OWN.get(charset)

    def __missing__(self, char: bytes) -> str:
        text = None
        if self._own is not None and len(char) > 1:
            text = self._own(char)
        if text is None:
            text = char.decode(self._codec, "replace")
            if len(text) != 1:
                text = "\ufffd"  # one, as it is one character
        self[char] = text
        return text


def _wide_decoder(charset: str) -> Callable[[bytes], str]:
    chars = _Characters(charset).__getitem__
    split = re.compile(_WIDE[charset] + b"|.", re.DOTALL).findall

    def decode(data: bytes) -> str:
        return data.decode() if data.isascii() else "".join(map(chars, split(data)))

    return decode


def decoder_of(charset: str) -> Callable[[bytes], str]:
    """Return a function from bytes in a character set to text."""
    if charset in _WIDE:
        return _wide_decoder(charset)
    if charset in _UNICODE.split():
        codec = codecs.lookup(_CODECS[charset]).decode
        return lambda data: codec(data, "replace")[0]
    table = _table(charset)
    return lambda data: codecs.charmap_decode(data, "replace", table)[0]
