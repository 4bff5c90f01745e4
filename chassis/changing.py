"""A request that changes a row that others may hold: it waits for the row, and keeps no stranger from his connection.

A wait is a connection and a thread that nobody else has meanwhile. So a request looks first whether it can go on at
once, and waits only where there are few who do.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from flask import current_app
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import Fault, fault_of, transaction
from chassis.few import Few

Result = TypeVar("Result")

#: Longer than a step holds its rows, and short beside what a request takes.
_AT_ONCE = text("SET LOCAL lock_timeout = '10ms'")


def changing(work: Callable[[Session], Result]) -> Result:
    """Do this in a transaction of its own on the database of the app that handles this request.

    Where another transaction holds a row that it needs, it is rolled back and done once more, in one of few places.
    Raises what the work raises; Unavailable where there is no place; the database's error where the row stays held.
    """
    sessions = cast("sessionmaker[Session]", current_app.extensions["database"])
    try:
        with transaction(sessions) as session:
            session.execute(_AT_ONCE)
            return work(session)
    except DBAPIError as error:
        if fault_of(error) is not Fault.HELD:
            raise
    few = cast(Few, current_app.extensions["few"])
    with few.place(), transaction(sessions) as session:
        return work(session)
