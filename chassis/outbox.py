"""Messages leave by a row in the transaction that decided on them, never by a call.

Promise: a committed row is published at least once; a row that is rolled back never is. The relay (``tasks.relay``)
publishes and removes rows. See https://microservices.io/patterns/data/transactional-outbox.html

A row is one message in waiting: the task to run, the bundle it is run on, and the links of the chain that come after
it. The relay merges rows of the same task and the same remaining links into one message, but never ``alone`` rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Identity, Index, Table, Text, func, insert
from sqlalchemy.orm import Session

from chassis.database import after_commit, chassis_metadata
from chassis.wake import wake

outbox = Table(
    "outbox",
    chassis_metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("task", Text, nullable=False),
    Column("links", JSON, nullable=False, comment="the signatures that follow, next one first"),
    Column("bundle", JSON, nullable=False, comment="the task's argument: a list of orders"),
    Column("alone", Boolean, nullable=False, server_default="false", comment="never merged"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "task", "id"),
)

Link = Mapping[str, Any]
Bundle = Sequence[Mapping[str, Any]]


def enqueue(session: Session, links: Sequence[Link], bundle: Bundle | None = None, *, alone: bool = False) -> int:
    """Send these links, the first one with this bundle, if and when the session commits. Returns the row's id.

    ``links`` are Celery signatures (``chain(...).tasks``); the bundle is the first one's own argument where none is
    given. The relay is woken after the commit.
    """
    first, *rest = links
    carried = first["args"][0] if bundle is None else bundle
    row = {"task": first["task"], "links": [dict(each) for each in rest], "bundle": list(carried), "alone": alone}
    row_id: int = session.execute(insert(outbox).values(row).returning(outbox.c.id)).scalar_one()
    if not session.info.get("relay_woken"):
        session.info["relay_woken"] = True
        after_commit(session, lambda: wake(session.info["relay"]))
    return row_id
