"""What an exception says, without the values that it was about: these are people's names and addresses.

For what is stored and shown. What a database says has values in several places: in its details, in the parameters
that SQLAlchemy adds, and, where a value is malformed, in the sentence itself.
"""

import re

from sqlalchemy.exc import DBAPIError

from chassis.database import storable

#: The class of PostgreSQL's errors whose sentences quote the value: "invalid input syntax for type uuid: ...".
_DATA_EXCEPTION = "22"

#: How a statement that failed is described: ``IntegrityError: (psycopg2.errors.CheckViolation) ...``.
_OF_A_STATEMENT = re.compile(r"\w+: \([\w.]+\)")
#: What comes before values in such a text.
_HAS_VALUES = re.compile(r"\[SQL: |\[parameters: |DETAIL: ")


def cause_of(error: Exception) -> str:
    """What this exception says, as PostgreSQL can store it: its kind, its sentence, the statement; no values."""
    name = type(error).__name__
    if not isinstance(error, DBAPIError):
        return storable(without_values(f"{name}: {error}"))
    diagnosis = getattr(error.orig, "diag", None)
    sentence = getattr(diagnosis, "message_primary", None) or ""
    if (getattr(error.orig, "pgcode", None) or "").startswith(_DATA_EXCEPTION):
        sentence = ""
    # Not as SQLAlchemy spells it, which is how ``without_values`` knows a text that has values.
    statement = f"[statement: {' '.join(error.statement.split())}]" if error.statement else ""
    kind = f"{name}: ({type(error.orig).__module__}.{type(error.orig).__name__})"
    return storable(" ".join(filter(None, [kind, sentence, statement])))


def without_values(words: str) -> str:
    """What ``cause_of`` would have said less of: a text of an earlier release, which had values in it."""
    if not _HAS_VALUES.search(words):
        return words
    kind = _OF_A_STATEMENT.match(words)
    return kind.group() if kind else _HAS_VALUES.split(words)[0].strip()
