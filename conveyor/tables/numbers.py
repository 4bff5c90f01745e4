"""How a file writes its numbers: is 1.250 a thousand and more, or one and a quarter?

One number does not tell, all of them do. 3,90 and 0,05 say that the comma is a decimal one, 1.250,00 says it and that
the point parts thousands; 1.250 alone says nothing. Where no number tells, or they contradict each other, the file is
not certain.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from conveyor.tables.cells import Cell
from conveyor.tables.errors import Uncertain

POINT, COMMA = "point", "comma"
_MARK = {POINT: ".", COMMA: ","}
#: Other signs that part thousands; blanks of all widths, and the apostrophes of Switzerland.
_BLANKS = "[ \u00a0\u2009\u202f'\u2019\u02bc]"
_NUMBER = re.compile(rf"[\d.,]+(?:{_BLANKS}\d{{3}})*(?:[.,]\d*)?", re.ASCII)
#: A currency: its signs, or at most three letters as in EUR, CHF, kr, with a full stop perhaps.
_CURRENCY = re.compile(r"(?:[^\W\d_]{0,3}[\$£€¥¢₹₽₺₩₪₴₦₱₫฿]|[^\W\d_]{1,3}\.?|[\$£€¥¢₹₽₺₩₪₴₦₱₫฿][^\W\d_]{0,3})")
#: More digits than any amount has: such a text is not worth a look.
LONGEST = 40
#: So many texts are remembered with what they are: prices repeat.
REMEMBERED = 16_384


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """``decimal`` is POINT or COMMA; the other one parts thousands, as blanks and apostrophes do in any format."""

    decimal: str = POINT

    def number(self, cell: Cell, *, money: bool = False) -> Decimal | None:
        """The number in this cell, None where it is none. ``money`` may stand beside a currency: ``€ 2.50``."""
        if isinstance(cell, Decimal):
            return cell
        if not isinstance(cell, str):
            return None
        return _number(cell.strip(), self.decimal, money)


@dataclass(slots=True)
class NumberSurvey:
    """What the numbers of a file say about their format, one after another."""

    told: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    untold: str = ""
    currencies: Counter[str] = field(default_factory=Counter)

    def take(self, cell: Cell, line: int, *, money: bool = False) -> None:
        """Look at one cell that may be a number."""
        if not isinstance(cell, str) or (cell.isascii() and cell.isdigit()):
            return
        _, digits, currency = _parts(cell.strip(), money)
        if digits is None:
            return
        if currency:
            self.currencies[currency] += 1
        says = _says(digits)
        if says:
            self.told[says] += 1
            self.examples.setdefault(says, f"{digits} in line {line}")
        elif not self.untold and ("." in digits or "," in digits):
            self.untold = f"{digits} in line {line}"

    def decide(self, asked: str | None = None) -> NumberFormat:
        """The format of all these numbers. Raises Uncertain."""
        if asked:
            return NumberFormat(asked)
        if len(self.told) > 1:
            both = " and ".join(self.examples[each] for each in (POINT, COMMA))
            raise Uncertain(f"not certain in its numbers: {both}. Say --decimal point or --decimal comma")
        if self.told:
            return NumberFormat(next(iter(self.told)))
        if self.untold:
            raise Uncertain(
                f"not certain in its numbers: {self.untold} may be thousands or a decimal, and no number tells. "
                "Say --decimal point or --decimal comma"
            )
        return NumberFormat()

    def why(self, asked: str | None) -> str:
        """What was decided, for people: ``decimal comma (3,90 in line 2)``."""
        decided = self.decide(asked).decimal
        if asked:
            return f"decimal {decided}, as --decimal says"
        if not self.told:
            return "whole numbers only"
        return f"decimal {decided} ({self.examples[decided]})"


@lru_cache(maxsize=REMEMBERED)
def _number(text: str, decimal: str, money: bool) -> Decimal | None:
    if text.isascii() and text.isdigit() and len(text) <= LONGEST:
        return Decimal(text)
    sign, digits, _ = _parts(text, money)
    return None if digits is None else _value(sign, digits, _MARK[decimal])


def _value(sign: int, digits: str, mark: str) -> Decimal | None:
    whole, found, part = digits.partition(mark)
    if mark in part or (part and not part.isdigit()) or not (whole or part):
        return None
    if whole and not _grouped(whole, mark):
        return None
    whole = re.sub(r"\D", "", whole)
    return sign * Decimal(f"{whole or 0}.{part}" if found and part else whole or "0")


@lru_cache(maxsize=REMEMBERED)
def _parts(text: str, money: bool) -> tuple[int, str | None, str]:
    """Sign, digits with their marks, and currency of a number; None for the digits where it is no number."""
    sign = 1
    if len(text) > LONGEST:
        return 1, None, ""
    if text.startswith("(") and text.endswith(")"):
        sign, text = -1, text[1:-1].strip()
    text, currency = _without_currency(text) if money else (text, "")
    for minus in ("-", "\u2212", "+"):
        if text.startswith(minus) or (text.endswith(minus) and minus != "+"):
            sign = sign if minus == "+" else -sign
            text = text.strip(minus).strip() if text.count(minus) == 1 else "?"
            break
    if money and not currency:
        text, currency = _without_currency(text)
    if not text or not _NUMBER.fullmatch(text) or not any(each.isdigit() for each in text):
        return sign, None, ""
    return sign, text, currency


def _without_currency(text: str) -> tuple[str, str]:
    if not text or (text[0].isdigit() and text[-1].isdigit()):
        return text, ""
    if text[-1:].isdigit() or text[-1:] in ".,-":
        found = _CURRENCY.match(text)
        return (text[found.end() :].strip(), found[0].strip()) if found else (text, "")
    begin = next((at for at in range(len(text) - 1, -1, -1) if text[at].isdigit() or text[at] in ".,-"), -1) + 1
    rest = text[begin:].strip()
    return (text[:begin].strip(), rest) if begin and _CURRENCY.fullmatch(rest) else (text, "")


def _grouped(whole: str, mark: str) -> bool:
    """Whether these are digits, or in groups of three (or as in India) that one sign parts, not the decimal one."""
    if whole.isdigit():
        return True
    signs = {each for each in whole if not each.isdigit()}
    if len(signs) > 1 or mark in signs:
        return False
    first, *groups = whole.split(signs.pop())
    in_threes = len(first) <= 3 and all(len(each) == 3 for each in groups)
    in_lakhs = len(first) <= 2 and len(groups[-1]) == 3 and all(len(each) == 2 for each in groups[:-1])
    return bool(first) and first != "0" and (in_threes or in_lakhs)


def _says(digits: str) -> str:
    """The format that this number alone proves; empty where it proves none."""
    point, comma = digits.count("."), digits.count(",")
    if point and comma:
        last = POINT if digits.rfind(".") > digits.rfind(",") else COMMA
        return last if digits.count(_MARK[last]) == 1 else ""
    for mark, other in ((".", COMMA), (",", POINT)):
        times = digits.count(mark)
        if times > 1:
            return other
        if times:
            whole, _, part = digits.partition(mark)
            may_be_thousands = len(part) == 3 and whole.isdigit() and len(whole) <= 3 and not whole.startswith("0")
            return "" if may_be_thousands else (POINT if mark == "." else COMMA)
    return ""
