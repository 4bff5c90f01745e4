"""The end of a run: everything is well again, nothing is under way any more, and what was flagged is sent again."""

from contextlib import suppress
from dataclasses import dataclass

from amqp.exceptions import AMQPError
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from chassis.database import open_database
from chassis.errors import ConveyorError
from conveyor import SERVICES
from conveyor.broker import BrokerDown, depths, work_queues
from conveyor.chaos.torment import Say, remove_caps
from conveyor.chaos.victim import Victim, VictimFailed, wait_for
from conveyor.databases import DatabaseDown, Databases, asking
from conveyor.embedded.processes import EmbeddedError
from conveyor.embedded.rabbitmq import VHOST
from conveyor.embedded.valkey import Valkey
from sales import faults, quarantined, service
from sales.errors import AlreadySettled, NothingToResume, NotReplayable

#: Seconds until everything is well, and until nothing is under way.
WELL_WITHIN, DRAINED_WITHIN = 180.0, 900.0
#: An operator looks so often before giving an order up.
ROUNDS = 3
ACTOR = "chaos"

_OPEN = text(
    "SELECT count(*) FROM order_sagas JOIN orders ON orders.id = order_id"
    " WHERE deadline IS NOT NULL AND NOT needs_attention"
)
_FLAGGED = text("SELECT CAST(id AS text) FROM orders WHERE needs_attention ORDER BY id")
_OUTBOX = text("SELECT count(*) FROM outbox")


@dataclass(frozen=True, slots=True)
class Settled:
    """What an operator had to do: messages that were replayed, orders that were resumed."""

    replayed: int
    resumed: int


def bring_back(victim: Victim, say: Say) -> None:
    """Undo what was done, and wait until everything is well. Raises VictimFailed."""
    victim.resume_all()
    if not wait_for(lambda: remove_caps(victim) and not victim.unwell(), WELL_WITHIN):
        raise VictimFailed(f"not well within {WELL_WITHIN:.0f} s: {', '.join(victim.unwell()) or 'a queue is capped'}")
    say("everything is well again")


def drain(victim: Victim, say: Say) -> None:
    """Wait until nothing is under way any more. Raises VictimFailed."""
    if not wait_for(lambda: not under_way(victim), DRAINED_WITHIN):
        raise VictimFailed(f"not drained within {DRAINED_WITHIN:.0f} s: {'; '.join(under_way(victim))}")
    say("nothing is under way any more")


def under_way(victim: Victim) -> list[str]:
    """What has not ended yet: sagas of orders that are not flagged, outbox rows, messages in queues."""
    settings = victim.settings
    try:
        with Databases(settings) as databases:
            found = []
            for each in SERVICES:
                with databases.reading(each) as connection:
                    found.append((f"{each} outbox", int(connection.execute(_OUTBOX).scalar_one())))
            with databases.reading("sales") as connection:
                found.append(("open sagas", int(connection.execute(_OPEN).scalar_one())))
        if not any(count for _, count in found):  # asking a broker for all of its messages costs it a second
            found.append(("messages in queues", _messages(victim)))
    except (DatabaseDown, BrokerDown, EmbeddedError, RedisError, AMQPError) as error:
        return [str(error)]
    return [f"{count} {name}" for name, count in found if count]


def settle(victim: Victim, say: Say) -> Settled:
    """Attend to what was flagged until nothing is left to do. Raises VictimFailed when it does not end either."""
    sessions = open_database("sales", victim.settings)
    total = Settled(0, 0)
    for _ in range(ROUNDS):
        done = attend(sessions, say)
        if done == Settled(0, 0):
            break
        total = Settled(total.replayed + done.replayed, total.resumed + done.resumed)
        drain(victim, say)
    return total


def attend(sessions: sessionmaker[Session], say: Say) -> Settled:
    """What an operator does who reads the flags: replay what waits in the quarantine, resume what is still flagged."""
    replayed = _replay_all(sessions, say)
    return Settled(replayed, _resume_all(sessions))


def _replay_all(sessions: sessionmaker[Session], say: Say) -> int:
    """As `conveyor quarantine replay --all` does; how many were sent again."""
    with asking(sessions) as session:
        waiting = quarantined.waiting_messages(session)
    done = 0
    for message_id in waiting:
        try:
            with asking(sessions) as session:
                done += faults.replay_message(session, message_id, ACTOR)
        except (NotReplayable, AlreadySettled) as error:
            say(f"not replayable: {error}")
    return done


def _resume_all(sessions: sessionmaker[Session]) -> int:
    """As `conveyor order resume` does, for every order that is flagged."""
    with asking(sessions) as session:
        flagged = [order_id for (order_id,) in session.execute(_FLAGGED)]
    resumed = 0
    for order_id in flagged:
        with (
            suppress(NothingToResume),
            asking(sessions) as session,
        ):  # one may have ended meanwhile, and its flag with it
            service.resume(session, order_id, ACTOR, "chaos is over")
            resumed += 1
    return resumed


def _messages(victim: Victim) -> int:
    """Messages that wait or are being worked on, those that a dead worker held included."""
    broker = victim.server("broker")
    if isinstance(broker, Valkey):
        with broker.client() as client:
            held = int(client.hlen("unacked"))
        return held + sum(count or 0 for count in depths(victim.settings.broker_url, work_queues()).values())
    if victim.rabbitmq is None:
        raise ConveyorError("the run's broker is neither RabbitMQ nor Valkey")
    listed = victim.rabbitmq.rabbitmqctl("-q", "list_queues", "-p", VHOST, "--no-table-headers", "name", "messages")
    rows = (line.split() for line in listed.splitlines() if line.strip())
    return sum(int(row[1]) for row in rows if row[0] in work_queues())
