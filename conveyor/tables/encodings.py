"""Which letters the bytes of a text stand for: UTF-8, what a byte order mark says, or what the operator says.

Nothing else is taken for granted. The encodings of the past have no mark, and nearly every byte means something in
each of them; a library that guesses is sure of itself and wrong. So lines with letters above 127 are shown in the
readings that are likely, and somebody who can read them says which one is meant.
"""

import codecs
import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from conveyor.tables.errors import Uncertain
from conveyor.tables.kinds import HEAD, looks_like_utf16

#: A byte order mark, and the codec that it asks for. UTF-32 first: its mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: What is offered where it is not UTF-8, the likelier first among equals.
CANDIDATES = (
    *("cp1252", "cp1250", "iso8859-2", "cp1251", "koi8-r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("cp932", "gb18030", "big5", "cp949", "euc-jp", "iso2022-jp", "mac-roman", "cp850", "cp437"),
)
#: Everyday letters of an encoding that has a meaning for nearly all bytes: a wrong reading is full of rare ones.
EVERYDAY = {"gb18030": "gb2312", "cp949": "euc_kr"}
#: So many readings are shown, of so many lines.
READINGS, LINES = 3, 3
#: Signs that stand in ordinary text beside its letters.
SIGNS = frozenset("£€¥§©®™°±½¼¾×–—‘’“”„•…«»¿¡²³ºª\u00a0")  # noqa: RUF001
#: Escape sequences of the ISO 2022 encodings: their text is ASCII to look at, and means other letters.
ESCAPES = (b"\x1b$", b"\x1b(", b"\x1b&", b"\x1b.")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec by its name, and in a word why it is the one; UTF-8 needs no reason."""

    name: str
    why: str

    @property
    def said(self) -> str:
        """For people: ``utf-16 (by its byte order mark)``."""
        return f"{self.name} ({self.why})" if self.why else self.name


def codec(name: str) -> str:
    """The codec of this name, as Python spells it. Raises LookupError where it is none for text."""
    found = codecs.lookup(name)
    if not getattr(found, "_is_text_encoding", True):
        raise LookupError(name)
    return found.name


def encoding_of(file: BinaryIO, asked: str | None = None) -> Encoding:
    """The encoding of this text, every byte of which it can read; the file is left at its beginning.

    Raises Uncertain where nothing says which one it is, or where it is not the one that somebody says.
    """
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if asked:
        found = Encoding(codec(asked), "as --encoding says")
        if found.name == "utf-8" and head.startswith(codecs.BOM_UTF8):
            found = Encoding("utf-8-sig", found.why)
    else:
        found = _marked(head) or Encoding("utf-8", "")
    wrong = _fault(file, found.name)
    if wrong and (asked or found.name != "utf-8"):
        raise Uncertain(f"not {found.name}, {found.why}: {wrong}. --encoding NAME says what it is")
    if wrong or _escaped(file, found.name):
        names = ", ".join(_likely(file))
        what = wrong or "it has escape sequences"
        raise Uncertain(f"not in UTF-8: {what}. Say --encoding NAME ({names}, ...)", shown(file))
    return found


def shown(file: BinaryIO) -> list[str]:
    """The first lines with letters above 127, each in the likely readings: ``--encoding cp932  line 2: ...``."""
    lines = _telling(file)
    return [
        f"--encoding {name:<10} line {number}: {line.decode(name, 'replace').strip()[:100]}"
        for name in _likely(file)
        for number, line in lines[:LINES]
    ]


def _marked(head: bytes) -> Encoding | None:
    for mark, name in MARKS:
        if head.startswith(mark):
            return Encoding(name, "by its byte order mark")
    without = looks_like_utf16(head)
    return Encoding(without, "without a mark, by its NULs") if without else None


def _fault(file: BinaryIO, name: str) -> str:
    """Where the first byte is that this encoding cannot read, in words; empty where there is none."""
    decoder, line = codecs.getincrementaldecoder(name)(), 1
    try:
        while chunk := file.read(1 << 20):
            try:
                line += decoder.decode(chunk).count("\n")
            except UnicodeDecodeError as error:
                return f"line {line + chunk[: max(error.start, 0)].count(10)} has {_bytes(error)}"
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return f"its end has {_bytes(error)}"
    finally:
        file.seek(0)
    return ""


def _bytes(error: UnicodeDecodeError) -> str:
    wrong = error.object[error.start : error.end][:4]
    return "the byte" + "s" * (len(wrong) > 1) + " " + " ".join(f"0x{each:02x}" for each in wrong)


def _escaped(file: BinaryIO, name: str) -> bool:
    """Whether text that is ASCII to look at means other letters."""
    if name != "utf-8":
        return False
    try:
        return any(escape in chunk for chunk in iter(lambda: file.read(1 << 20), b"") for escape in ESCAPES)
    finally:
        file.seek(0)


def _telling(file: BinaryIO) -> list[tuple[int, bytes]]:
    """Some lines, by number, in which a byte is above 127 or escapes."""
    found = []
    for number, line in enumerate(file, start=1):
        for part in line.split(b"\r"):
            if not part.isascii() or b"\x1b" in part:
                found.append((number, part))
        if len(found) >= 200:
            break
    file.seek(0)
    return found


def _likely(file: BinaryIO) -> list[str]:
    """The encodings that can read the telling lines and make words of them, the likeliest first."""
    lines = [line for _, line in _telling(file)]
    scored = []
    for order, name in enumerate(CANDIDATES):
        try:
            text = "\n".join(line.decode(name) for line in lines)
        except UnicodeDecodeError:
            continue
        scored.append((_rare(text, name) - _plausible(text), order, name, text))
    told: dict[str, str] = {}
    for _, _, name, text in sorted(scored):
        told.setdefault(text, name)  # two that read the same are one question
    return list(told.values())[:READINGS] or ["cp1252"]


def _plausible(text: str) -> float:
    """How much these letters look like words: 1 is all of them, in one script; 0 is none."""
    above = [each for each in text if ord(each) > 127]
    if not above:
        return 0.0
    scripts = Counter(_script(each) for each in above if each.isalpha())
    letters = max(scripts.values(), default=0) + sum(each in SIGNS for each in above)
    odd = sum(not each.isprintable() or unicodedata.category(each) in ("Co", "Cn") for each in above)
    # Capitals within a word and signs that stand alone are what a wrong reading is full of.
    mixed = sum(a.islower() and b.isupper() and not (a + b).isascii() for a, b in pairwise(text))
    return (letters - odd - mixed) / len(above)


def _rare(text: str, name: str) -> float:
    """Which share of the letters above 127 is rare where this encoding is used."""
    above = [each for each in text if ord(each) > 127]
    if name not in EVERYDAY or not above:
        return 0.0
    return sum(not each.encode(EVERYDAY[name], "ignore") for each in above) / len(above)


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "?").split(" ", 1)[0]
    return "CJK" if name in ("CJK", "HIRAGANA") or name.startswith("KATAKANA") else name
