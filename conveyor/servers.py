"""Which servers a stack runs itself, and the settings that lead to them. A URL in the environment replaces one."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from chassis.settings import Settings
from conveyor import SERVICES
from conveyor.children import DATABASES, url_of
from conveyor.embedded import apt, rabbitmq, rabbitmq_tree, rabbitmq_upgrade
from conveyor.embedded.apt import Apt
from conveyor.embedded.postgres import Postgres
from conveyor.embedded.processes import RECORD, Process
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.server import Server
from conveyor.embedded.valkey import BROKER, Valkey

STAND_IN = """\
Broker: Valkey stands in for RabbitMQ, {why}.
  Weaker than with RabbitMQ: no dead-letter queues and no publisher confirms; what a killed worker had taken comes
  back after 60 s instead of at once; workers take one message at a time. Only a message that no step ever saw can be
  lost, and the sweeper sends the chain of such an order again."""

NOT_INSTALLED = "which is not installed here"


@dataclass(frozen=True)
class Servers:
    """The embedded servers of one stack; None where a URL in the environment names another."""

    postgres: Postgres | None
    valkey: Valkey | None
    broker: RabbitMQ | Valkey | None

    @classmethod
    def chosen(cls, settings: Settings, state: Path) -> "Servers":
        """What these settings ask for. Raises EmbeddedError where RabbitMQ is asked for and is not
        installed."""
        logs = state / "logs"
        own_databases = all(getattr(settings, name) for name in DATABASES)
        return cls(
            None if own_databases else Postgres(state / "postgres", settings.postgres_port, logs / "postgres.log"),
            None if settings.redis_url else Valkey(state / "valkey", settings.valkey_port, logs / "valkey.log"),
            None if settings.broker_url else _broker(settings, state),
        )

    def all(self) -> list[Server]:
        """RabbitMQ first: it takes longest to start."""
        return [each for each in (self.broker, self.postgres, self.valkey) if each is not None]

    def records(self) -> set[Path]:
        """The process records of these servers, whose processes they take over themselves."""
        own = {each.directory / f"{each.name}{RECORD}" for each in self.all()}
        return own | ({self.broker.directory / f"epmd{RECORD}"} if isinstance(self.broker, RabbitMQ) else set())

    def lead_to(self, settings: Settings) -> Settings:
        """These settings, with the URLs of the embedded servers and of the stack's own web processes."""
        found: dict[str, str] = {}
        if self.postgres is not None:
            found |= {f"{each}_database_url": self.postgres.service_url(each) for each in SERVICES}
        if self.valkey is not None:
            found["redis_url"] = self.valkey.url()
        if self.broker is not None:
            found["broker_url"] = self.broker.url()
        found = {name: url for name, url in found.items() if not getattr(settings, name)}
        for each in ("gateway", *SERVICES):
            found[f"{each}_url"] = url_of(settings.host, getattr(settings, f"{each}_port"))
        return replace(settings, **found)  # type: ignore[arg-type]

    def set_old_data_aside(self) -> str | None:
        """What to tell people where the broker's data is of a RabbitMQ that this one cannot go on with: it is moved."""
        if not isinstance(self.broker, RabbitMQ):
            return None
        if Process.recorded(self.broker.directory / f"rabbitmq{RECORD}") is not None:
            return None  # a node of an earlier run is at work on it, and is taken over
        return rabbitmq_upgrade.set_aside(self.broker.directory / "data", rabbitmq.scripts())

    def management_url(self) -> str:
        """RabbitMQ's API, with its password; empty where its RabbitMQ is not ours."""
        return self.broker.management_url() if isinstance(self.broker, RabbitMQ) else ""

    def about_the_broker(self, settings: Settings, missing: str = NOT_INSTALLED) -> str:
        """What people should know about the broker before anything starts; ``missing`` is why there is no RabbitMQ."""
        if self.broker is None:
            return f"Broker: the one of CONVEYOR_BROKER_URL, {settings.broker_url.rpartition('@')[2]}"
        if isinstance(self.broker, RabbitMQ):
            return f"Broker: RabbitMQ, a node of its own on 127.0.0.1:{self.broker.port}"
        asked = settings.embedded_broker == "valkey"
        return STAND_IN.format(why="as CONVEYOR_EMBEDDED_BROKER asks" if asked else missing)


def provide_rabbitmq(
    settings: Settings, state: Path, say: Callable[[str], None], show: Callable[[str], None] = lambda _words: None
) -> str:
    """Have a RabbitMQ for the stack of these settings: the one that is here, or the distribution's, fetched for it.

    ``state`` is the folder that keeps what is fetched. Returns why there is none, for people; empty where there is one,
    or where these settings need none. Raises EmbeddedError where they need one and there is none.
    """
    if settings.broker_url or settings.embedded_broker == "valkey" or rabbitmq.installed() is not None:
        return ""
    tree = state / rabbitmq_tree.FETCHED / rabbitmq_tree.release()
    try:
        if not tree.exists():
            _fetch(tree, say, show)
    except rabbitmq_tree.NoTree as error:
        if settings.embedded_broker == "rabbitmq":
            raise
        return str(error)
    rabbitmq_tree.use(tree)
    return ""


def _fetch(tree: Path, say: Callable[[str], None], show: Callable[[str], None]) -> None:
    if not apt.here():
        hint = " (brew install rabbitmq)" if sys.platform == "darwin" else ""
        raise rabbitmq_tree.NoTree(f"{NOT_INSTALLED}{hint}")
    try:
        rabbitmq_tree.make(
            tree,
            Apt(tree.with_name("apt")),
            lambda what: say(f"{what} CONVEYOR_EMBEDDED_BROKER=valkey does without."),
            show,
        )
    except rabbitmq_tree.NoTree as error:
        raise rabbitmq_tree.NoTree(f"{NOT_INSTALLED} and could not be fetched: {error}") from error


def _broker(settings: Settings, state: Path) -> RabbitMQ | Valkey:
    if settings.embedded_broker == "rabbitmq":
        rabbitmq.scripts()
    if settings.embedded_broker == "valkey" or rabbitmq.installed() is None:
        return Valkey(state / "broker", settings.broker_port, state / "logs" / "broker.log", name=BROKER)
    return RabbitMQ(
        state / "rabbitmq",
        settings.broker_port,
        dist_port=settings.rabbitmq_dist_port,
        epmd_port=settings.rabbitmq_epmd_port,
        management_port=settings.rabbitmq_management_port,
        log=state / "logs" / "rabbitmq.log",
    )
