"""The quarantine: brings what the broker could not deliver into a table, where people read it, replay it or drop it.

It consumes the dead-letter queues itself, without a Celery worker: what is in there is what no worker could take. A
message is acknowledged after the commit that keeps it, so that it is in the queue or in the table, whatever dies.
"""

import base64
import hashlib
import re
import signal
import threading
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
import structlog
from amqp.exceptions import AMQPError
from kombu import Consumer
from kombu.exceptions import KombuError
from kombu.message import Message
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from celeryconfig import STAND_IN, accept_content, broker_heartbeat, connection_to, dead_queue, task_queues
from chassis.database import Fault, fault_of, open_database, storable, transaction
from chassis.ready import TOUCH_EVERY, say_not_ready, say_ready
from chassis.settings import Settings
from sales.faults import keep_dead_letter
from sales.messages import DeadLetter
from tasks import topology
from tasks.admission import is_id, why_unreadable

log = structlog.get_logger()

#: Messages that wait in this process at most.
PREFETCH = 20
#: Anybody may write a number into the header that counts deaths.
MOST_DEATHS = 1_000_000
#: Seconds between two tries while the broker or the database is away: the first, and the longest.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

#: Why the broker gives a message up, in its own words and in ours.
_WHY = {
    "rejected": "rejected by its worker",
    "delivery_limit": "delivered too often without an end",
    "expired": "waited longer than the queue allows",
    "maxlen": "the queue was full",
}

_ORDER_ID = re.compile(r'"order_id"\s*:\s*"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"')


class Quarantine:
    """Consumes every dead-letter queue until it is asked to stop."""

    def __init__(self, sessions: sessionmaker[Session], settings: Settings) -> None:
        self._sessions = sessions
        self._settings = settings
        self._pause = SHORTEST_PAUSE
        self._ready = False
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until ``stop()``, over any loss of broker or database.

        Raises TopologyMissing where the broker has no queues of ours when this begins.
        """
        while not self._stopping.is_set():
            try:
                self._consume()
            except (OSError, AMQPError, KombuError) as error:
                log.warning("broker_away", error=str(error) or type(error).__name__)
                say_not_ready(self._settings, "the broker is away")
            except topology.TopologyMissing as error:
                if not self._ready:
                    raise
                log.warning("topology_missing", error=str(error))
            except Exception as error:
                if fault_of(error) is Fault.OTHER:
                    raise
                log.warning("database_away", error=str(error))
                say_not_ready(self._settings, "its database is away")
            self._stopping.wait(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def stop(self) -> None:
        """Finish the message and leave ``run()``."""
        self._stopping.set()

    def _consume(self) -> None:
        # First the database: a message that is taken and given back counts as delivered once more.
        with transaction(self._sessions) as session:
            session.execute(text("SELECT 1"))
        with connection_to(self._settings.require("broker_url"), heartbeat=broker_heartbeat) as connection:
            topology.check(connection)
            queues = [dead_queue(each.name) for each in task_queues]
            consumer = Consumer(
                connection.channel(),
                queues,
                auto_declare=False,
                accept=accept_content,
                on_message=self._keep,
                on_decode_error=lambda message, _error: self._keep(message),
                prefetch_count=PREFETCH,
            )
            with consumer:
                log.info("quarantine_ready")
                self._ready = True
                while not self._stopping.is_set():
                    say_ready(self._settings)
                    try:
                        connection.drain_events(timeout=1)
                    except TimeoutError:
                        self._pause = SHORTEST_PAUSE
                    connection.heartbeat_check()

    def idle(self) -> None:
        """Wait for ``stop()``: the stand-in broker has no dead letters."""
        log.warning("no_dead_letters", why="the broker is a stand-in, which keeps no message that nobody can take")
        say_ready(self._settings)
        while not self._stopping.wait(TOUCH_EVERY):
            say_ready(self._settings)

    def _keep(self, message: Message) -> None:
        letter = read_letter(message)
        try:
            self._store(letter)
        except Exception as error:
            if fault_of(error) is not Fault.OTHER:
                raise
            # PostgreSQL does not take what it holds: then as bytes, which it takes always.
            log.warning("kept_as_bytes", message_id=letter.message_id, error=str(error))
            self._store(_as_bytes(letter, message))
        message.ack()
        self._pause = SHORTEST_PAUSE
        log.error("quarantined", message_id=letter.message_id, queue=letter.queue, task=letter.task)

    def _store(self, letter: DeadLetter) -> None:
        with transaction(self._sessions) as session:
            keep_dead_letter(session, letter)


def read_letter(message: Message) -> DeadLetter:
    """A dead letter as it will be kept: a Celery message as its bundle and links, anything else as it came."""
    raw = _raw(message)
    headers = dict(message.headers or {})
    routing_key = str((message.delivery_info or {}).get("routing_key"))
    queue, reason, count = _death(headers.get("x-death"), routing_key)
    task = headers.get("task")
    body = _celery_body(raw) if isinstance(task, str) else None
    why = why_unreadable(message)
    # What is no message of ours has no id that could be trusted to be its own.
    ours = body is not None and is_id(headers.get("id"))
    fingerprint = hashlib.sha256(queue.encode() + b"\n" + raw).hexdigest()
    found = _ORDER_ID.findall(raw.decode("utf-8", "replace"))
    return DeadLetter(
        message_id=storable(headers["id"]) if ours else fingerprint,
        fingerprint=fingerprint,
        order_ids=sorted({UUID(each) for each in found}),
        queue=storable(queue),
        task=storable(task) if isinstance(task, str) else None,
        body=body or _as_it_came(raw, message.content_type),
        headers=msgspec.to_builtins(headers, enc_hook=repr),
        reason=storable(f"{reason}: {why}" if why else reason),
        count=count,
    )


def _raw(message: Message) -> bytes:
    # The library has decoded what says that it is text.
    body = message.body
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)


def _celery_body(raw: bytes) -> dict[str, Any] | None:
    """``{"bundle", "links"}``, links next one first; None for what is not a message to a step."""
    try:
        args, _kwargs, embed = msgspec.json.decode(raw, type=tuple[list[Any], dict[str, Any], dict[str, Any]])
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    links = embed.get("chain") or []
    if len(args) != 1 or not isinstance(args[0], list) or not isinstance(links, list):
        return None
    return {"bundle": args[0], "links": links[::-1]}


def _as_it_came(raw: bytes, content_type: Any) -> dict[str, Any]:
    try:
        return {"content_type": content_type, "text": raw.decode()}
    except UnicodeDecodeError:
        return {"content_type": content_type, "base64": base64.b64encode(raw).decode()}


def _as_bytes(letter: DeadLetter, message: Message) -> DeadLetter:
    body = {"content_type": repr(message.content_type), "base64": base64.b64encode(_raw(message)).decode()}
    return msgspec.structs.replace(letter, body=body, headers={"text": repr(message.headers)})


def _death(deaths: Any, routing_key: str) -> tuple[str, str, int]:
    """The queue that the message died in, why, and how often: ``x-death``, which the broker adds, newest first."""
    last = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping) else {}
    queue, why, count = last.get("queue") or routing_key, last.get("reason") or "unknown", last.get("count")
    reason = f"dead-lettered in {queue}: {_WHY.get(why, why)}"
    return str(queue), reason, min(max(count, 1), MOST_DEATHS) if isinstance(count, int) else 1


def run_quarantine(settings: Settings) -> None:
    """Run the quarantine until SIGTERM or SIGINT. Raises TopologyMissing where the broker has no queues."""
    quarantine = Quarantine(open_database("sales", settings), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_signal: quarantine.stop())
    if STAND_IN:
        quarantine.idle()
    else:
        quarantine.run()
