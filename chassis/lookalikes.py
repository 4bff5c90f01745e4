"""Which codes people take for one another: equal but for case, width or alphabet.

``MUG-K7`` and ``mug-k7``, full-width letters, a Cyrillic capital Em, digits of another script. Letters of one
alphabet are never taken for one another here, however alike: a shop has ``CAP-L``, ``CAP-1`` and ``CAP-I``.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from chassis.codes import called, nfc
from chassis.patterns import UNSEEN

_UNSEEN = re.compile(f"[{UNSEEN}]")
#: Hyphens, dashes and the minus sign: which of them a keyboard or a word processor wrote is chance.
_HYPHENS = frozenset("\u2212\u30fc\u2043\u02d7")
#: What only the eye tells from what else in ASCII; the kind of character says which of them is meant.
_ALIKE_IN_ASCII = ("Il1|", "O0")


def looks(code: str) -> set[str]:
    """What this code may be read as. Two codes look alike where they may be read as the same.

    It is read as it is typed, in capitals and in small letters: the Greek small nu looks like v, its capital like N.
    """
    plain = _plain(code)
    if plain.isascii():
        return {plain.casefold()}
    typed = "".join(map(_drawn, plain))
    meant = "".join(map(_digit, plain))
    others = ("".join(map(_drawn, cased)) for cased in (meant.upper(), meant.lower()))
    return {nfc(each).casefold() for each in (typed, *others)}


def look_alike(code: str, other: str) -> bool:
    """Whether people would take one of these codes for the other."""
    return not looks(code).isdisjoint(looks(other)) and not _differ_within_an_alphabet(code, other)


def alike_before(codes: Iterable[str]) -> dict[str, str]:
    """Those of these codes that look like one before them, and which one that is."""
    seen: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for code in codes:
        may_be = sorted(looks(code))
        others = (other for look in may_be for other in seen.get(look, ()))
        first = next((other for other in others if look_alike(code, other)), None)
        if first is not None:
            found[code] = first
        for look in may_be:
            seen.setdefault(look, []).append(code)
    return found


def difference(code: str, other: str) -> str:
    """What tells a code from another that looks like it, as the end of a sentence."""
    foreign = next((each for each in nfc(code) if not each.isascii() and each not in nfc(other)), None)
    return f"it has {called(foreign)}" if foreign else "only case, width or alphabet differ"


def _plain(code: str) -> str:
    """A code without what cannot be seen and what Unicode itself calls a variant: full width, bold, a circle."""
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFKC", code)).split())


def _differ_within_an_alphabet(code: str, other: str) -> bool:
    """Whether a letter of one is another letter of the same alphabet in the other: the Hebrew vav and the final nun
    both look like l, and whoever reads Hebrew tells them apart."""
    pair = _plain(code).casefold(), _plain(other).casefold()
    return len(pair[0]) == len(pair[1]) and any(
        one.upper() != two.upper() and not one.isascii() and not two.isascii() and _script(one) == _script(two)
        for one, two in zip(*pair, strict=True)
    )


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def _digit(character: str) -> str:
    """The ASCII digit of the same value, where this is a digit of whatever script."""
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


@lru_cache(maxsize=4_096)
def _drawn(character: str) -> str:
    """The ASCII letter, digit or mark that this character looks like; the character itself where there is none."""
    if character.isascii():
        return character
    if character in _HYPHENS or unicodedata.category(character) == "Pd":
        return "-"
    alike = _homoglyphs(character)
    ascii_ones = [each for each in alike if each.isascii() and len(each) == 1]
    if ascii_ones:
        return _of_its_kind(character, ascii_ones[0])
    if len(alike) == 1:
        return _head_of_class(character, alike[0])
    return character


def _homoglyphs(character: str) -> list[str]:
    """What Unicode says that this character looks like: one, or all of a class where this is the head of one."""
    # Here, because the table takes 10 MB, and codes that are ASCII do without.
    from confusable_homoglyphs.confusables import confusables_data as table

    # Letters that are written from right to left stand between two marks there.
    found = table.get(character) or table.get(f"\u200e{character}\u200e") or []
    return [each["c"].strip("\u200e") for each in found]


def _of_its_kind(character: str, drawn: str) -> str:
    """Of ASCII characters that look the same the one of this character's kind: a capital looks like I, not like l."""
    for alike in _ALIKE_IN_ASCII:
        if drawn in alike:
            kind = unicodedata.category(character)
            return next((each for each in alike if unicodedata.category(each) == kind), drawn)
    return drawn


def _head_of_class(character: str, other: str) -> str:
    """One character for all that look like each other and like none in ASCII: Cyrillic and Greek Pi, say."""
    return other if len(_homoglyphs(other)) > 1 else min(character, other)
