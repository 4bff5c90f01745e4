"""What is told of a database error: what was violated, and never with which values.

PostgreSQL's errors name the row that failed, and an order's row has an address in it. Errors are logged, kept beside
faults and shown to operators; so the values are taken out where the error comes to be, for all of these.
"""

from typing import TYPE_CHECKING, cast

from sqlalchemy import ExceptionContext

if TYPE_CHECKING:  # a process without a database does not load the driver
    import psycopg2

#: Conditions, or classes of them, whose first line names tables, columns, constraints and settings only.
_NO_VALUES = ("08", "23", "25", "28", "3D", "40", "53", "55", "57", "58", "42501", "42703", "42P01")


def without_values(context: ExceptionContext) -> None:
    """Take the values out of an error of the driver and of SQLAlchemy's around it."""
    error, around = context.original_exception, context.sqlalchemy_exception
    if getattr(error, "pgcode", None) is not None:
        said = told(cast("psycopg2.Error", error))
        error.args = (said,)
        if around is not None:
            around.args = (f"({type(error).__name__}) {said}",)


def told(error: "psycopg2.Error") -> str:
    """``23505: duplicate key value violates unique constraint "uq_x" (table x, constraint uq_x)``."""
    diagnosis = error.diag
    what = diagnosis.message_primary if (error.pgcode or "").startswith(_NO_VALUES) else type(error).__name__
    named = {
        "table": diagnosis.table_name,
        "column": diagnosis.column_name,
        "type": diagnosis.datatype_name,
        "constraint": diagnosis.constraint_name,
    }
    where = ", ".join(f"{kind} {name}" for kind, name in named.items() if name)
    return f"{error.pgcode}: {what}" + (f" ({where})" if where else "")
