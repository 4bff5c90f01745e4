"""The command line says what went wrong in one line, and never shows a stack trace for what is nobody's mistake."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from psycopg2 import extensions

from chassis.settings import PREFIX, Settings, settings
from conveyor import cli

ID = "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"
AWAY = {
    **{f"{name}_DATABASE_URL": "postgresql://x:secret@127.0.0.1:9/x" for name in ("SALES", "INVENTORY", "DELIVERY")},
    "BROKER_URL": "amqp://x:secret@127.0.0.1:9/x",
    "REDIS_URL": "redis://:secret@127.0.0.1:9/0",
    "GATEWAY_URL": "http://127.0.0.1:9",
}
#: Each command, with what it needs to begin. FILE is a file that is there, and no order book.
COMMANDS = {
    "migrate": "", "topology": "", "status": "", "logs": "", "reconcile": "--settle 0", "reset": "--yes",
    "catalogue load": "conveyor/samples/catalogue.csv", "replay": "conveyor/samples/orders.csv",
    "quarantine list": "", "quarantine show": "x", "quarantine replay": "--all",
    "quarantine drop": "x --reason x --yes", "orphan keep": f"{ID} --reason x",
    "orphan give-up": f"{ID} --reason x --yes", "order resume": ID, "order compensate": f"{ID} --reason x",
    "order place": "--customer ada@example.com --item MUG-STONE=1", "order show": ID, "order watch": ID,
    "order cancel": ID, "order list": "", "product list": "", "product show": "MUG-STONE",
    "product add": "MUG-NEW --name x --price 1.00", "product change": "MUG-STONE --price 2.00",
    "product lookalikes": "", "customer list": "",
    "customer doubles": "", "customer show": "ada@example.com",
    "customer add": "--name x --email x@example.com --address x",
    "stock list": "", "stock check": "MUG-STONE=1", "stock adjust": "MUG-STONE --add 1 --reason x",
    "stock ledger": "MUG-STONE",
    "delivery list": "", "delivery show": ID, "delivery move": f"{ID} IN_TRANSIT", "latency": "",
}  # fmt: skip
#: What serves until it is stopped waits for servers that are away, and says so in its log. The last two start servers
#: of their own.
SERVING = {
    "run": "", "serve": "gateway", "worker": "sales", "relay": "sales", "sweeper": "", "quarantine run": "",
    "bench": "", "chaos": "", "flower": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No stack, and nothing of the environment's."""
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVEYOR_STATE_DIR", str(tmp_path / "none"))
    settings.cache_clear()
    yield
    settings.cache_clear()
    extensions.set_wait_callback(None)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield " ".join(path)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, (*path, name))


def ended(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what was said on stderr."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    code, said = exit_.value.code, capsys.readouterr().err
    return (1, f"{said}{code}\n") if isinstance(code, str) else (code or 0, said)  # a text is said by the interpreter


def test_every_command_is_swept() -> None:
    assert set(leaves(cli.cli)) - COMMANDS.keys() - SERVING.keys() == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_is_away_is_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, url in AWAY.items():
        monkeypatch.setenv(PREFIX + name, url)
    monkeypatch.setattr("conveyor.client.Gateway._may_wait", lambda *_: False)
    code, said = ended([*command.split(), *COMMANDS[command].split()], capsys)
    if command in ("status", "reset"):  # says what is down where it says the rest; finds nothing to delete
        assert said == ""
        return
    assert code == 1
    assert said.startswith("conveyor: ")
    # A gateway's answer may be followed by what it is about.
    assert len(said.splitlines()) == 1, said
    assert "secret" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", [*COMMANDS, *SERVING])
@pytest.mark.parametrize(("name", "value"), [("CURRENCY", "euro"), ("HOST", "localhost"), ("SALES_PORT", "99999")])
def test_no_command_begins_with_a_setting_that_makes_no_sense(
    command: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    code, said = ended([*command.split(), *(COMMANDS | SERVING)[command].split()], capsys)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"conveyor: {PREFIX}{name} must be ")


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_every_setting_is_looked_at_before_a_process_begins(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), "\x01" * 5_000)
    code, said = ended(["serve", "gateway"], capsys)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"conveyor: {PREFIX}{name.upper()} ")


def test_flower_says_it_in_one_line_too(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks.app", "flower"],
        env={**os.environ, "CONVEYOR_CURRENCY": "euro"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [answer.stderr.strip()]
    assert answer.stderr.startswith("conveyor: CONVEYOR_CURRENCY must be a currency")


def raising(error: BaseException) -> Callable[..., None]:
    def ask(*_: object, **__: object) -> None:
        raise error

    return ask


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "conveyor: ended by Ctrl-C"),
        (KeyError("sku"), 1, "conveyor: KeyError: 'sku' (CONVEYOR_LOG_LEVEL=DEBUG shows where)"),
        (RuntimeError("one\ntwo"), 1, "conveyor: RuntimeError: one (CONVEYOR_LOG_LEVEL=DEBUG shows where)"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "conveyor: /x: Permission denied"),
    ],
)
def test_what_nobody_foresaw_is_one_line_too(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("conveyor.status.look_at", raising(error))
    assert ended(["status"], capsys) == (code, f"{line}\n")


def test_whoever_looks_for_a_mistake_of_ours_is_shown_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVEYOR_LOG_LEVEL", "DEBUG")
    monkeypatch.setattr("conveyor.status.look_at", raising(KeyError("sku")))
    with pytest.raises(KeyError):
        cli.main(["status"])


def test_a_reader_that_has_gone_is_no_error_to_tell() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    answer = subprocess.run(
        [sys.executable, "-m", "conveyor", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert answer.stderr == ""


def test_ctrl_c_while_it_waits_is_one_line(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "conveyor", "worker", "sales"],
        env={**os.environ, **{PREFIX + name: url for name, url in AWAY.items()}},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # its first log: it is at work
        process.send_signal(signal.SIGINT)
        try:
            rest = process.communicate(timeout=30)[1]
        finally:
            process.kill()
    assert "Traceback" not in rest


def test_a_database_that_is_away_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setenv("CONVEYOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales:secret@127.0.0.1:9/ecommerce_db")
    with pytest.raises(SystemExit) as ended:
        cli.main(["migrate", "sales"])
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("conveyor: the database cannot serve")
    assert len(said.splitlines()) == 1
    assert "secret" not in said


def test_an_unknown_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CONVEYOR_SALES_DATABASE_ULR", "x")
    with pytest.raises(SystemExit) as ended:
        cli.main(["topology"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("conveyor: unknown setting CONVEYOR_SALES_DATABASE_ULR")
