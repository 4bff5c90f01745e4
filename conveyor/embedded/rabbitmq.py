"""A private RabbitMQ node from the RabbitMQ that is on the PATH or installed on this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp
import urllib3

from conveyor.embedded.ports import require_free
from conveyor.embedded.processes import RECORD, EmbeddedError, Process, password, write_private
from conveyor.embedded.server import Server

VHOST = "conveyor"
USER = "conveyor"
NODE = "conveyor@localhost"
OLDEST = (3, 10)
#: The node's name is found without the machine's /etc/hosts, which a bare one does not have.
LOCALHOST = '{host, {127,0,0,1}, ["localhost"]}.\n{lookup, [file, native]}.\n'
NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"  # idle, it would take the CPU from the workers
# Where packages put it; the wrappers in /usr/sbin insist on a system user of their own.
FOLDERS = (
    "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "usr/lib/rabbitmq/bin",
    "opt/rabbitmq/sbin",
    "opt/homebrew/opt/rabbitmq/sbin",
    "usr/local/opt/rabbitmq/sbin",
)


class RabbitMQ(Server):
    """One RabbitMQ node with a virtual host, a user and a management API of its own, on loopback only.

    It has a port mapper (epmd) of its own too: the machine's would listen on the network, and stay behind.
    """

    name = "rabbitmq"
    start_patience = 90

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        dist_port: int,
        epmd_port: int,
        management_port: int,
        log: Path | None = None,
    ) -> None:
        super().__init__(directory, port, log)
        self.dist_port = dist_port
        self.epmd_port = epmd_port
        self.management_port = management_port
        self.epmd: Process | None = None

    def start(self) -> "RabbitMQ":
        super().start()
        return self

    def url(self, vhost: str = VHOST) -> str:
        """The ``amqp://`` URL of a virtual host, with its password."""
        return f"amqp://{USER}:{self._password()}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def management_url(self) -> str:
        """The URL of the management API, with its password; ends in ``/api/``."""
        return f"http://{USER}:{self._password()}@127.0.0.1:{self.management_port}/api/"

    def management(self, method: str, path: str, body: Any = None) -> Any:
        """Call the management API, as in ``management("GET", "queues/conveyor")``; JSON, or None where empty.

        Raises EmbeddedError where it answers with an error, urllib3's HTTPError where it does not answer.
        """
        url = f"http://127.0.0.1:{self.management_port}/api/{path}"
        headers = urllib3.make_headers(basic_auth=f"{USER}:{self._password()}")
        with urllib3.PoolManager(timeout=5, retries=False) as pool:
            answer = pool.request(method, url, headers=headers, json=body)
        if answer.status >= 400:
            raise EmbeddedError(f"{method} {path}: {answer.status} {answer.data.decode(errors='replace')}")
        return answer.json() if answer.data else None

    def add_vhost(self, name: str) -> str:
        """Make another virtual host and return its URL. Takes milliseconds, not rabbitmqctl's second."""
        self.management("PUT", f"vhosts/{quote(name, safe='')}", {})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.management("PUT", f"permissions/{quote(name, safe='')}/{USER}", everything)
        return self.url(name)

    def remove_vhost(self, name: str) -> None:
        """Remove a virtual host with its queues and its connections."""
        self.management("DELETE", f"vhosts/{quote(name, safe='')}")

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` on this node and return what it prints. Raises EmbeddedError where it fails."""
        command = [str(scripts() / "rabbitmqctl"), "-n", NODE, *arguments]
        answer = subprocess.run(command, env=self._environment(), capture_output=True, text=True)
        if answer.returncode:
            raise EmbeddedError(f"rabbitmqctl {' '.join(arguments)} failed: {answer.stderr or answer.stdout}")
        return answer.stdout

    def ports(self) -> list[int]:
        server = [] if self._left_running() else [self.port, self.dist_port, self.management_port]
        epmd = Process.recorded(self.directory / f"epmd{RECORD}")
        return server + ([self.epmd_port] if epmd is None else [])

    def spawn(self) -> None:
        self._start_epmd()
        super().spawn()

    def stop(self) -> None:
        super().stop()
        if self.epmd is not None:
            self.epmd.stop()

    def kill(self) -> None:
        super().kill()
        if self.epmd is not None:
            self.epmd.kill()

    def _start_epmd(self) -> None:
        record = self.directory / f"epmd{RECORD}"
        command = [str(_epmd()), "-port", str(self.epmd_port), "-address", "127.0.0.1"]
        if self.epmd is not None and self.epmd.alive():
            return
        found = Process.recorded(record)
        if found is not None and found.entry.command == command:
            self.epmd = found
            return
        if found is not None:
            found.stop()
        require_free(self.epmd_port)
        self.epmd = Process.spawn(command, self._environment(), self.directory / "epmd.log", record)

    def _prepare(self) -> None:
        scripts()
        if not self._left_running():
            require_free(self.dist_port)
            require_free(self.management_port)
            if not self._was_ready().exists():
                # Stopped during its first start it would come back without feature flags, and refuse quorum queues.
                shutil.rmtree(self.directory / "data", ignore_errors=True)
        write_private(self.directory / "rabbitmq.conf", self._configuration())
        write_private(self.directory / "enabled_plugins", "[rabbitmq_management].\n")
        write_private(self.directory / "environment.conf", "")  # the machine's own must not be read
        write_private(self.directory / "inetrc", LOCALHOST)
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            password(cookie)
            cookie.chmod(0o400)

    def _was_ready(self) -> Path:
        return self.directory / "was-ready"

    def _configuration(self) -> str:
        return f"""\
listeners.tcp.1 = 127.0.0.1:{self.port}
distribution.listener.interface = 127.0.0.1
distribution.listener.port_range.min = {self.dist_port}
distribution.listener.port_range.max = {self.dist_port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {self.management_port}
default_vhost = {VHOST}
default_user = {USER}
default_pass = {self._password()}
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 100MB
raft.wal_max_size_bytes = 32000000
log.console = true
log.console.level = warning
log.file = false
"""

    def _password(self) -> str:
        return password(self.directory / "password")

    def _command(self) -> list[str]:
        return [str(scripts() / "rabbitmq-server"), "-noinput"]

    def _environment(self) -> dict[str, str]:
        here = self.directory
        return super()._environment() | {
            "HOME": str(here),
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(here / "data"),
            "RABBITMQ_LOG_BASE": str(here / "server-logs"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(here / "environment.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(here / "pid"),
            "ERL_INETRC": str(here / "inetrc"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_LOG": "-color",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{NO_SPINNING} -start_epmd false",
            # Makes the script become the Erlang machine, so that the pid on record is the server's own.
            "RABBITMQ_ALLOW_INPUT": "1",
        }

    def _answers(self) -> bool:
        """Both doors: AMQP with our user and virtual host, and the management API."""
        connection = amqp.Connection(
            f"127.0.0.1:{self.port}", userid=USER, password=self._password(), virtual_host=VHOST,
            connect_timeout=2, read_timeout=5,
        )  # fmt: skip
        try:
            connection.connect()
            _require_recent(connection.server_properties.get("version", "0"))
            connection.close()
            self.management("GET", "whoami")
            self._was_ready().touch()
        except (OSError, amqp.AMQPError, urllib3.exceptions.HTTPError):
            connection.collect()
            return False
        return True


def _require_recent(version: str) -> None:
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        raise EmbeddedError(f"RabbitMQ {version} is too old: CONVEYOR_EMBEDDED_BROKER=valkey does without")


def installed() -> Path | None:
    """The folder of RabbitMQ's scripts on this machine; None where it or its Erlang is not installed.

    One whose own scripts are on the PATH goes before one that a package has installed.
    """
    for folder in _candidates():
        if (folder / "rabbitmq-env").exists() and os.access(folder / "rabbitmq-server", os.X_OK):
            return folder if shutil.which("erl") else None
    return None


def scripts() -> Path:
    """The folder of RabbitMQ's scripts. Raises EmbeddedError where it is not installed."""
    folder = installed()
    if folder is None:
        raise EmbeddedError(
            "RabbitMQ is not installed here (or its Erlang is not on the PATH): install rabbitmq-server, set "
            "CONVEYOR_BROKER_URL, or let Valkey stand in with CONVEYOR_EMBEDDED_BROKER=valkey"
        )
    return folder


def _candidates() -> Iterator[Path]:
    on_path = Path(shutil.which("rabbitmq-server") or "rabbitmq-server").resolve().parent
    if (on_path.parent / "plugins").is_dir():  # not so a distribution's wrapper
        yield on_path
    for pattern in FOLDERS:
        yield from sorted(Path("/").glob(pattern), reverse=True)
    yield on_path


def _epmd() -> Path:
    found = shutil.which("epmd")
    beside = Path(shutil.which("erl") or "erl").resolve().with_name("epmd")
    return Path(found) if found else beside
