"""What others have written, made fit to be shown to people: nothing in it moves the cursor, hides or turns text."""

import unicodedata

#: Controls (C0 and C1), invisible formatting (overrides of the direction), halves of surrogate pairs, characters that
#: nobody has assigned or whose look is private, and the two breaks that only Unicode knows.
UNFIT = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
#: Invisible, too, but harmless and part of words: Persian, the languages of India and many emoji need them.
JOINERS = frozenset("\u200c\u200d")


def printable(text: str) -> str:
    r"""The text on one line: ``\n``, ``\x1b`` or ``\u202e`` stands for each character that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(each if _fit(each) else ascii(each)[1:-1] for each in text)


def _fit(character: str) -> bool:
    return character.isprintable() or character in JOINERS or unicodedata.category(character) not in UNFIT
