"""Text that is a key: codes and names that people type and programs compare.

Unicode writes one text in several ways: a Mac stores ``é`` as ``e`` and an accent, Windows as one character. There is
one normal form here, NFC, in which each key is stored, compared and looked for. No key has what cannot be seen.
"""

import re
import unicodedata

from chassis.patterns import UNSEEN

_UNSEEN = re.compile(f"[{UNSEEN}]")


def nfc(text: str) -> str:
    """This text in the normal form in which texts are stored and compared."""
    return unicodedata.normalize("NFC", text)


def spellings(text: str) -> list[str]:
    """How a row of an older release, which stored a text as it came, may have written this one. Normal form first."""
    return list(dict.fromkeys((nfc(text), unicodedata.normalize("NFD", text), text)))


def unseen(text: str) -> str | None:
    """The first character of this text that cannot be seen, or is a blank other than U+0020, by number and name."""
    found = _UNSEEN.search(text)
    return called(found[0]) if found else None


def called(character: str) -> str:
    """A character by its number and its name: ``U+00AD SOFT HYPHEN``."""
    name = unicodedata.name(character, "a control character" if unicodedata.category(character) == "Cc" else "")
    return f"U+{ord(character):04X} {name}".rstrip()
