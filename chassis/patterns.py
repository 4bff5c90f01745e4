"""The patterns of text in requests, which mean the same in Python and in JavaScript (with the flag ``u``).

The services check by them and their OpenAPI documents show them. What the two languages call a blank, a digit or the
end of a text differs: so only what is written out here is relied on.
"""

#: The end of the text, in Python and in JavaScript: ``$`` and ``\\Z`` are not the same in both.
END = r"(?![\s\S])"
#: NUL and half of a surrogate pair: no text of PostgreSQL holds them.
_NOT_STORABLE = r"\x00\ud800-\udfff"

#: What cannot be seen, and blanks other than U+0020, as Unicode 17 has them: Default_Ignorable_Code_Point and the
#: categories Cc, Cf, Zs, Zl and Zp; the blank pattern of Braille; what stands where a character could not be read.
_RANGES = """0-1f 7f-a0 ad 34f 600-605 61c 6dd 70f 890-891 8e2 115f-1160 1680 17b4-17b5 180b-180f 2000-200f 2028-202f
    205f-206f 2800 3000 3164 d800-dfff fe00-fe0f feff ffa0 fff0-ffff 110bd 110cd 13430-1343f 1bca0-1bca3 1d173-1d17a
    e0000-e0fff"""


def _ends(written: str) -> tuple[int, int]:
    first, _, last = written.partition("-")
    return int(first, 16), int(last or first, 16)


def _in_class(code_point: int) -> str:
    """As a class of characters has it in both languages, which beyond four digits know no escape in common."""
    return f"\\u{code_point:04x}" if code_point <= 0xFFFF else chr(code_point)


UNSEEN = "".join(f"{_in_class(first)}-{_in_class(last)}" for first, last in map(_ends, _RANGES.split()))

ANY_TEXT = rf"^[^{_NOT_STORABLE}]*{END}"
NOT_BLANK = rf"^(?=[\s\S]*[^ {UNSEEN}])[^{_NOT_STORABLE}]*{END}"
CODE = rf"^[^ {UNSEEN}]([^{UNSEEN}]*[^ {UNSEEN}])?{END}"

#: U+037E is a semicolon in the normal form, and U+1FEF a grave accent.
_ATOM = rf'[^ "(),.:;<>@\[\\\]\u037e{UNSEEN}]+'
#: Letters of any script, digits, and within a label hyphens. The last label does not begin with a digit.
_NO_LETTER = rf" \u037e\u1fef./:-@\[-`{{-~\uff01-\uff5e{UNSEEN}"
_LETTER, _LETTER_OR_HYPHEN = rf"[^!-\x2d{_NO_LETTER}]", f"[^!-,{_NO_LETTER}]"
_TOP = rf"[^!-\x2d0-9{_NO_LETTER}]{_LETTER_OR_HYPHEN}*{_LETTER}"
MAIL = rf"^{_ATOM}(\.{_ATOM})*@({_LETTER}({_LETTER_OR_HYPHEN}*{_LETTER})?\.)+{_TOP}{END}"
