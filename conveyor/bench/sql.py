"""A plain connection to a database whose URL is written for SQLAlchemy."""

import psycopg2

from chassis.postgresql_url import url_of
from chassis.sockets import POSTGRESQL


def connect(url: str) -> "psycopg2.extensions.connection":
    """Connect, with five seconds' patience. Raises psycopg2's errors."""
    plain = url_of(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg2.connect(plain, connect_timeout=5, application_name="conveyor-bench", **POSTGRESQL)
