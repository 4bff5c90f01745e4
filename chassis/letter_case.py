"""Comparisons in either case, of all letters, whatever the locale of the database.

In a database of locale C, as `make run` has one, ``upper`` and ``ILIKE`` know the letters of ASCII only. So the case is
taken from a collation that knows all of them, of those that this server has.
"""

from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, collate, func, literal, text
from sqlalchemy.orm import Session

# PostgreSQL's own from 17 on, ICU's where it was built with it, the system's. Without any: the locale.
_KNOWN = text(
    "SELECT collname FROM unnest(ARRAY['pg_c_utf8', 'und-x-icu', 'C.utf8', 'C.UTF-8'])"
    " WITH ORDINALITY AS wanted (name, turn)"
    " JOIN pg_collation ON collname = name AND collnamespace = 'pg_catalog'::regnamespace"
    " AND collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))"
    " ORDER BY turn LIMIT 1"
)
_collations: WeakKeyDictionary[Engine, str | None] = WeakKeyDictionary()


def contains(session: Session, column: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """Whether this text is in the column, in whatever case either is written.

    In capitals, since a capital has one form: a small sigma at the end of a word has another than within it.
    """
    collation = _collation(session)
    pattern = "".join(f"/{each}" if each in "/%_" else each for each in part)
    return _capitals(column, collation).like(_capitals(literal(f"%{pattern}%"), collation), escape="/")


def _capitals(words: ColumnElement[str], collation: str | None) -> ColumnElement[str]:
    return func.upper(words if collation is None else collate(words, collation))


def _collation(session: Session) -> str | None:
    engine = session.get_bind().engine
    if engine not in _collations:
        _collations[engine] = session.execute(_KNOWN).scalar_one_or_none()
    return _collations[engine]
