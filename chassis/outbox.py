"""Messages leave by a row in the transaction that decided on them, never by a call.

Promise: a committed row is published at least once; a row that is rolled back never is. The relay (``tasks.relay``)
publishes and removes rows. See https://microservices.io/patterns/data/transactional-outbox.html

A row is one message in waiting: the task to run, the bundle it is run on, and the links of the chain that come after
it. The relay merges rows of the same task and the same remaining links into one message, but never ``alone`` rows.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Identity, Index, Table, Text, func, text
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

_INSERT = text(
    "INSERT INTO outbox (task, links, bundle, alone)"
    " VALUES (:task, CAST(:links AS json), CAST(:bundle AS json), :alone) RETURNING id"
)

#: What one message carries at most: orders, lines of orders, bytes. One order that is larger goes alone.
MOST_ORDERS, MOST_LINES, MOST_BYTES = 64, 2_000, 256 * 1024

Link = Mapping[str, Any]
Bundle = Sequence[Mapping[str, Any]]


def enqueue(session: Session, links: Sequence[Link], bundle: Bundle | None = None, *, alone: bool = False) -> int:
    """Send these links, the first one with this bundle, if and when the session commits. Returns the row's id.

    ``links`` are Celery signatures (``chain(...).tasks``); the bundle is the first one's own argument where none is
    given. The relay is woken after the commit.
    """
    first, *rest = links
    carried = first["args"][0] if bundle is None else bundle
    texts = {"links": json.dumps([dict(each) for each in rest]), "bundle": json.dumps(list(carried))}
    row_id: int = session.execute(_INSERT, {"task": first["task"], "alone": alone, **texts}).scalar_one()
    if not session.info.get("relay_woken"):
        session.info["relay_woken"] = True
        after_commit(session, lambda: wake(session.info["relay"]))
    return row_id
