"""The patterns of text in requests, which mean the same in Python and in JavaScript (with the flag ``u``).

The services check by them and their OpenAPI documents show them. What the two languages call a blank, a digit or the
end of a text differs: so only what is written out here is relied on.
"""

#: The end of the text, in Python and in JavaScript: ``$`` and ``\\Z`` are not the same in both.
END = r"(?![\s\S])"
#: What is a blank in either language. (Python alone knows four separators and NEL as such, JavaScript alone the BOM.)
_BLANK = r"\s\x1c-\x1f\x85\ufeff"
#: NUL and half of a surrogate pair: no text of PostgreSQL holds them.
_NOT_STORABLE = r"\x00\ud800-\udfff"
#: What moves a terminal's cursor or ends a line.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"

ANY_TEXT = rf"^[^{_NOT_STORABLE}]*{END}"
NOT_BLANK = rf"^(?=[\s\S]*[^{_BLANK}])[^{_NOT_STORABLE}]*{END}"
CODE = rf"^[^\s\ufeff{_CONTROL}]([^{_CONTROL}]*[^\s\ufeff{_CONTROL}])?{END}"

_ATOM = r'[^\s"(),.:;<>@\[\\\]\x00-\x1f\x7f-\x9f\ufeff\ud800-\udfff]+'
#: Letters of any script, digits, and within a label hyphens. The last label does not begin with a digit.
_NO_LETTER = r"\s./:-@\[-`{-\x9f\x00-\x1f\ufeff\ud800-\udfff\uff01-\uff5e"
_LETTER, _LETTER_OR_HYPHEN = rf"[^!-\x2d{_NO_LETTER}]", f"[^!-,{_NO_LETTER}]"
_TOP = rf"[^!-\x2d0-9{_NO_LETTER}]{_LETTER_OR_HYPHEN}*{_LETTER}"
MAIL = rf"^{_ATOM}(\.{_ATOM})*@({_LETTER}({_LETTER_OR_HYPHEN}*{_LETTER})?\.)+{_TOP}{END}"
