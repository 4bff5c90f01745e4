"""The servers of a mutation run, started once, and the processes in which pytest runs against them."""

import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

from conveyor.embedded.ports import free_port
from conveyor.embedded.postgres import DATABASES, Postgres
from conveyor.embedded.rabbitmq import RabbitMQ
from conveyor.embedded.valkey import Valkey
from tests.mutants.operators import Mutant

ROOT = Path(__file__).parents[2]
#: Loaded once, before the processes part; nothing of our own is, since one module of it will be another.
LIBRARIES = (
    "sqlalchemy.orm", "psycopg2", "alembic.command", "flask", "flask_smorest", "marshmallow", "celery", "kombu",
    "hypothesis", "redis", "msgspec", "structlog", "urllib3", "pytest", "_pytest.pytester",
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
        self._in_child(self._migrate, 120)
        for name in LIBRARIES:
            importlib.import_module(name)
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.rabbitmq, self.valkey, self.postgres):
            each.stop()

    def watch(self, tests: Sequence[str], modules: Sequence[str]) -> dict[str, Any]:
        """Run all tests, and return which lines of the modules each came by, and how long it took."""
        into = self.folder / "seen.json"

        def work() -> int:
            watcher = Watcher({str(ROOT / f"{each}.py"): each for each in modules})
            code = self._pytest([*tests], watcher)
            into.write_text(json.dumps({"lines": watcher.lines, "seconds": watcher.seconds}))
            return 0 if code in (0, 1) else code

        if self._in_child(work, 3_600) != 0:
            raise RuntimeError(f"the tests could not be run:\n{(self.folder / 'log').read_text()[-3000:]}")
        told: dict[str, Any] = json.loads(into.read_text())
        return told

    def run(self, mutant: Mutant, tests: list[str], seconds: float) -> str:
        """How the mutant ends: "killed", "too long" or "survived"."""

        def work() -> int:
            sys.meta_path.insert(0, Changed(mutant))
            return self._pytest(["-x", *tests])

        code = self._in_child(work, seconds)
        return {0: "survived", None: "too long"}.get(code, "killed")

    def _pytest(self, arguments: list[str], *plugins: object) -> int:
        """pytest in this process, against the servers, in databases that nobody has used."""
        import conveyor.embedded.postgres
        import conveyor.embedded.rabbitmq
        import conveyor.embedded.valkey

        kept = self._copies()
        conveyor.embedded.postgres.Postgres = lambda *_: kept  # type: ignore[misc,assignment]
        conveyor.embedded.valkey.Valkey = lambda *_: Kept(self.valkey)  # type: ignore[misc,assignment]
        conveyor.embedded.rabbitmq.RabbitMQ = lambda *_, **__: Kept(self.rabbitmq)  # type: ignore[misc,assignment]
        options = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-W", "ignore"]
        try:
            return int(pytest.main([*options, *arguments], plugins=[*plugins, Undisturbed()]))
        finally:
            for name in kept.names.values():
                self.postgres.drop_database(name)

    def _copies(self) -> "KeptPostgres":
        names = {service: f"mutant_{self._count}_{service}" for service in DATABASES}
        for service, name in names.items():
            template = f'CREATE DATABASE "{name}" OWNER {service} TEMPLATE "{DATABASES[service]}"'
            self.postgres.execute(template)
        return KeptPostgres(self.postgres, names)

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
                _end_group(child)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        _end_group(child)
        os.waitpid(child, 0)
        return None


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
    """The same, with three databases that are this session's own."""

    def __init__(self, server: Postgres, names: dict[str, str]) -> None:
        super().__init__(server)
        self.names = names

    def service_url(self, service: str) -> str:
        return self._server.url(self.names[service], service)  # type: ignore[no-any-return]


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


class Undisturbed:
    """Examples that Hypothesis has found for one mutant are none for the next."""

    def pytest_configure(self) -> None:
        from hypothesis import settings

        settings.register_profile("mutants", database=None)
        settings.load_profile("mutants")


class Watcher:
    """Notes the lines of some files that each test comes by, in whatever thread, and how long it takes."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files
        self._now: dict[str, set[int]] = {}
        self.lines: dict[str, dict[str, list[int]]] = {}
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        import threading

        self._now = {module: set() for module in self._files.values()}
        began = time.monotonic()
        sys.settrace(self._called)
        threading.settrace(self._called)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            self.seconds[item.nodeid] = time.monotonic() - began
            self.lines[item.nodeid] = {module: sorted(lines) for module, lines in self._now.items() if lines}

    def _called(self, frame: Any, _event: str, _arg: object) -> Any:
        module = self._files.get(frame.f_code.co_filename)
        if module is None:
            return None
        lines = self._now[module]

        def line(frame: Any, _event: str, _arg: object) -> Any:
            lines.add(frame.f_lineno)
            return line

        lines.add(frame.f_lineno)
        return line
