"""The stack's own servers, for what is measured beside it: databases, a virtual host and keys, gone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from sqlalchemy import make_url

from chassis.errors import ConveyorError
from chassis.settings import Settings
from conveyor.broker import is_stand_in
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.stack import running

#: Databases of Valkey that nothing else uses: results and keys, and the messages where it stands in for RabbitMQ.
KEYS, MESSAGES = 7, 8


class NotOurs(ConveyorError):
    """The servers are not the stack's own, so nothing else may be put on them."""


class Servers:
    """PostgreSQL, broker and cache of a stack that runs here. Raises NotOurs where there is none."""

    def __init__(self, settings: Settings) -> None:
        state, stack = Path(settings.state_dir), running(settings.state_dir)
        if stack is None or "postgres" not in stack.processes or not {"rabbitmq", "broker"} & set(stack.processes):
            raise NotOurs("the servers are not the stack's own: nothing else is put on them")
        self._settings = settings
        self._postgres = Postgres(state / "postgres", settings.postgres_port)
        self._rabbitmq = RabbitMQ(
            state / "rabbitmq",
            settings.broker_port,
            dist_port=settings.rabbitmq_dist_port,
            epmd_port=settings.rabbitmq_epmd_port,
            management_port=settings.rabbitmq_management_port,
        )

    @contextmanager
    def databases(self, *names: str) -> Iterator[str]:
        """Empty databases of these names; gives their URL with ``{}`` for the name."""
        self._drop(names)
        try:
            for name in names:
                self._postgres.execute(f'CREATE DATABASE "{name}"')
            yield self._postgres.url("{}")
        finally:
            self._drop(names)

    @contextmanager
    def broker(self, name: str) -> Iterator[str]:
        """The URL of a virtual host of its own; where Valkey stands in, of a database of its own."""
        url = self._settings.require("broker_url")
        if is_stand_in(url):
            with _emptied(url, MESSAGES) as own:
                yield own
            return
        own = self._rabbitmq.add_vhost(name)
        try:
            yield own
        finally:
            self._rabbitmq.remove_vhost(name)

    @contextmanager
    def cache(self) -> Iterator[str]:
        """The URL of a database of the cache, emptied afterwards."""
        with _emptied(self._settings.require("redis_url"), KEYS) as own:
            yield own

    def checkpoint(self) -> None:
        """Have PostgreSQL write down what it holds in memory, so that it does not do so during the next load."""
        self._postgres.execute("CHECKPOINT")

    def _drop(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._postgres.drop_database(name)


@contextmanager
def _emptied(url: str, database: int) -> Iterator[str]:
    own = make_url(url).set(database=str(database)).render_as_string(hide_password=False)
    try:
        yield own
    finally:
        with redis.Redis.from_url(own, socket_timeout=30) as client:
            client.flushdb()
