"""What PostgreSQL itself knows of a schema, as text that can be compared; ``alembic check`` leaves out most of it.

Storage parameters are left out: they are no part of what a row means.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

_OURS = "'public'::regnamespace"
_TABLE = f"relnamespace = {_OURS} AND relname <> 'alembic_version' AND relkind IN ('r', 'p', 'f')"

#: Kind of object -> a query for its name, and for all that there is to say of it.
QUERIES = {
    "table": f"""
        SELECT relname, concat_ws(' ', relkind, relpersistence, 'row security', relrowsecurity, relforcerowsecurity,
            obj_description(oid, 'pg_class'))
        FROM pg_class WHERE {_TABLE}""",
    "column": f"""
        SELECT relname || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod),
            CASE WHEN attnotnull THEN 'not null' END, 'default ' || pg_get_expr(adbin, adrelid),
            'identity ' || nullif(attidentity::text, ''), 'generated ' || nullif(attgenerated::text, ''),
            nullif(attcollation, 0)::regcollation, col_description(attrelid, attnum))
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE {_TABLE} AND attnum > 0 AND NOT attisdropped""",
    "constraint": f"""
        SELECT relname || '.' || conname, concat_ws(' ', pg_get_constraintdef(pg_constraint.oid),
            CASE WHEN NOT convalidated THEN 'not validated' END, obj_description(pg_constraint.oid, 'pg_constraint'))
        FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid WHERE {_TABLE} AND contype <> 'n'""",
    "index": f"""
        SELECT relname, concat_ws(' ', pg_get_indexdef(indexrelid), CASE WHEN NOT indisvalid THEN 'invalid' END,
            obj_description(indexrelid, 'pg_class'))
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace = {_OURS} AND relname NOT LIKE 'alembic_version%'""",
    "trigger": f"""
        SELECT relname || '.' || tgname, concat_ws(' ', tgenabled, pg_get_triggerdef(pg_trigger.oid))
        FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid WHERE {_TABLE} AND NOT tgisinternal""",
    "function": f"""
        SELECT oid::regprocedure::text, pg_get_functiondef(oid)
        FROM pg_proc WHERE pronamespace = {_OURS} AND prokind IN ('f', 'p')""",
    "policy": f"""
        SELECT relname || '.' || polname, concat_ws(' ', polcmd, polpermissive, polroles::regrole[]::text,
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        FROM pg_policy JOIN pg_class ON polrelid = pg_class.oid WHERE {_TABLE}""",
    "sequence": f"""
        SELECT relname, concat_ws(' ', format_type(seqtypid, NULL), seqstart, seqincrement, seqmin, seqmax, seqcache,
            seqcycle)
        FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid WHERE relnamespace = {_OURS}""",
    "type": f"""
        SELECT typname, concat_ws(' ', typtype, format_type(nullif(typbasetype, 0), typtypmod),
            (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = pg_type.oid))
        FROM pg_type WHERE typnamespace = {_OURS} AND typtype IN ('e', 'd', 'r')""",
    "view": """
        SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'
        UNION ALL SELECT matviewname, definition FROM pg_matviews WHERE schemaname = 'public'""",
}


def catalog(session: Session) -> dict[str, str]:
    """Everything there is: ``{"index ix_orders_status": its definition}``."""
    return {
        f"{kind} {name}": said for kind, query in QUERIES.items() for name, said in session.execute(text(query)).all()
    }


def differences(migrated: dict[str, str], modelled: dict[str, str]) -> list[str]:
    """A line for each object that is not the same in both."""
    return [
        f"{name}: migrated {migrated.get(name)!r}, by the models {modelled.get(name)!r}"
        for name in sorted(migrated.keys() | modelled.keys())
        if migrated.get(name) != modelled.get(name)
    ]
