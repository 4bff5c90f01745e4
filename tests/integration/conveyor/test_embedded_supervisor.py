"""The supervisor, with small scripts in the place of Conveyor's processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conveyor.embedded import fork_server, supervisor
from conveyor.embedded.fork_server import UNKNOWN, ForkServer
from conveyor.embedded.processes import EmbeddedError, Process, Record, end_left_behind, inherited, started
from conveyor.embedded.supervisor import StopRequested, Supervisor
from conveyor.embedded.unit import Child

SERVES = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
TELLS = """
import pathlib, signal, sys, time
def tell(what):
    with open(sys.argv[2], "a") as file: file.write(what + " ")
def end(*_): tell("-" + sys.argv[3]); sys.exit()
signal.signal(signal.SIGTERM, end)
tell("+" + sys.argv[3])
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
FORKS = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n" + SERVES


class Stage:
    """Makes children in a directory and remembers what the supervisor said."""

    def __init__(self, directory: Path, forks: bool = False) -> None:
        """``forks``: they begin in a fork server."""
        self.directory = directory
        self.said: list[str] = []
        self.environment = inherited() | {"CONVEYOR_STATE_DIR": str(directory)}
        self.server = ForkServer(("json", "uuid_utils.compat"), self.environment, directory / "server")
        self.forks = forks
        if forks:
            self.server.spawn()
            until(self.server.healthy)

    def child(self, name: str, script: str, *arguments: str, needs: tuple[str, ...] = (), **more: Any) -> Child:
        ready = self.directory / "ready" / name
        command = [sys.executable, "-c", script, str(ready), *arguments]
        if self.forks:
            more["start"] = self.server.fork
        return Child(name, command, self.environment, self.directory, ready.exists, needs, ready_file=ready, **more)

    def supervisor(self, *children: Child) -> Supervisor:
        return Supervisor(children, self.said.append)


@pytest.fixture(params=[False, True], ids=["executed", "forked"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(tmp_path, request.param)
    yield stage
    end_left_behind(tmp_path, keep=(), patience=0)
    stage.server.kill()


@pytest.fixture
def forking(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path, forks=True)
    yield stage
    end_left_behind(tmp_path, keep=(), patience=0)
    stage.server.kill()


def until(condition: Callable[[], Any], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def watching(supervisor: Supervisor, while_it_runs: Callable[[], None]) -> None:
    """Start, watch in another thread, do something, and stop."""
    supervisor.start()
    thread = threading.Thread(target=supervisor.watch)
    thread.start()
    try:
        while_it_runs()
    finally:
        supervisor.stop()
        thread.join()
        supervisor.shut_down()


def test_units_start_after_what_they_need_and_end_before_it(stage: Stage) -> None:
    told = str(stage.directory / "told")
    supervisor = stage.supervisor(
        stage.child("database", TELLS, told, "database"),
        stage.child("schema", "", needs=("database",), finishes=True),
        stage.child("worker", TELLS, told, "worker", needs=("schema",)),
    )
    supervisor.start()
    supervisor.shut_down()
    assert Path(told).read_text().split() == ["+database", "+worker", "-worker", "-database"]
    assert not list((stage.directory / "processes").iterdir())


def test_a_child_that_dies_before_all_are_ready_ends_the_start_with_its_last_words(stage: Stage) -> None:
    good = stage.child("good", SERVES)
    bad = stage.child("bad", "import sys; print('no luck today'); sys.exit(3)")
    with pytest.raises(EmbeddedError, match=r"(?s)bad ended with exit code 3.*no luck today"):
        stage.supervisor(good, bad).start()
    assert not good.alive()


def test_a_ready_child_that_dies_while_others_still_start_ends_the_start(stage: Stage) -> None:
    brief = stage.child("brief", "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(0.5)")
    slow = stage.child("slow", "import time; time.sleep(60)")
    with pytest.raises(EmbeddedError, match="brief ended"):
        stage.supervisor(brief, slow).start()
    assert not slow.alive()


def test_a_job_that_fails_ends_the_start(stage: Stage) -> None:
    with pytest.raises(EmbeddedError, match="schema ended with exit code 1"):
        stage.supervisor(stage.child("schema", "raise SystemExit(1)", finishes=True)).start()


def test_a_child_that_does_not_get_ready_in_time_ends_the_start(stage: Stage) -> None:
    silent = stage.child("silent", "import time; time.sleep(60)", start_patience=0.5)
    with pytest.raises(EmbeddedError, match="not ready after 0 s: silent is still running"):
        stage.supervisor(silent).start()
    assert not silent.alive()


def test_a_request_to_stop_during_the_start_ends_it(stage: Stage) -> None:
    silent = stage.child("silent", "import time; time.sleep(60)")
    supervisor = stage.supervisor(silent)
    threading.Timer(0.3, supervisor.stop).start()
    with pytest.raises(StopRequested):
        supervisor.start()
    assert not silent.alive()


def test_a_child_that_dies_later_is_started_again_and_that_is_said(stage: Stage) -> None:
    child = stage.child("worker", SERVES)

    def kill_it() -> None:
        first = child.pid()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: any("worker is ready again" in line for line in stage.said))
        assert child.pid() != first

    watching(stage.supervisor(child), kill_it)
    assert any("worker was killed by SIGKILL" in line and "again in 0.5 s" in line for line in stage.said)


def test_a_child_that_is_there_and_does_not_work_is_told_once_and_so_is_its_recovery(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "TROUBLED_FOR", 0.3)
    troubles: dict[str, str] = {}
    child = stage.child("worker", SERVES)
    watched = Supervisor([child], stage.said.append, trouble=troubles.get)

    def fall_into_trouble() -> None:
        troubles["worker"] = "its database is away"
        until(lambda: [said for said in stage.said if "does not work" in said])
        del troubles["worker"]
        until(lambda: "worker works again." in stage.said)

    watching(watched, fall_into_trouble)
    told = [said for said in stage.said if "does not work" in said]
    assert told == [f"worker is there and does not work: its database is away (log: {child.log})."]


def test_a_child_that_cannot_be_started_again_does_not_end_the_run(stage: Stage, tmp_path: Path) -> None:
    child = stage.child("worker", SERVES)

    def take_its_program_away() -> None:
        first = child.pid()
        assert first is not None
        child.command = [str(tmp_path / "gone")]
        stage.server.kill()
        os.kill(first, signal.SIGKILL)
        until(lambda: sum("cannot be started" in line for line in stage.said) >= 2)

    watching(stage.supervisor(child), take_its_program_away)


def test_what_a_child_forked_dies_with_it(stage: Stage) -> None:
    child = stage.child("web", FORKS)

    def kill_it() -> None:
        first = child.pid()
        assert first is not None
        forked = _group_of(first) - {first}
        assert len(forked) == 1
        os.kill(first, signal.SIGKILL)
        until(lambda: all(started(pid) is None for pid in forked))

    watching(stage.supervisor(child), kill_it)


def test_a_child_that_ignores_the_request_is_killed(stage: Stage) -> None:
    child = stage.child("deaf", DEAF, stop_patience=0.5)
    supervisor = stage.supervisor(child)
    supervisor.start()
    supervisor.shut_down()
    assert not child.alive()
    assert stage.said[-1] == "deaf did not end when asked, and was killed"


def test_asked_twice_it_waits_for_nobody(stage: Stage) -> None:
    child = stage.child("deaf", DEAF, stop_patience=30)
    supervisor = stage.supervisor(child)
    supervisor.start()
    supervisor.stop()
    supervisor.stop()
    began = time.monotonic()
    supervisor.shut_down()
    assert not child.alive()
    assert time.monotonic() - began < 5


def test_a_need_that_nobody_fills_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match=r"worker needs \['broker'\]"):
        stage.supervisor(stage.child("worker", SERVES, needs=("broker",)))


SUPERVISES = """
import sys
from pathlib import Path
from tests.integration.conveyor.test_embedded_supervisor import FORKS, SERVES, Stage
stage = Stage(Path(sys.argv[1]), forks=sys.argv[2] == "True")
supervisor = stage.supervisor(stage.child("web", FORKS), stage.child("worker", SERVES))
supervisor.start()
Path(sys.argv[1], "up").touch()
supervisor.watch()
"""


@pytest.mark.parametrize("leader_dies_too", [False, True])
def test_what_a_killed_supervisor_left_behind_is_ended(stage: Stage, leader_dies_too: bool) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISES, str(stage.directory), str(stage.forks)])
    until((stage.directory / "up").exists)
    supervisor.kill()
    supervisor.wait()
    records = {path: Record.read(path) for path in (stage.directory / "processes").iterdir()}
    pids = {entry.pid for entry in records.values() if entry is not None}
    everybody = set().union(*map(_group_of, pids))
    assert len(everybody) == 3
    if leader_dies_too:
        web = Record.read(stage.directory / "processes" / "web.process.json")
        assert web is not None
        os.kill(web.pid, signal.SIGKILL)
        until(lambda: started(web.pid) is None)
    names = end_left_behind(stage.directory, keep=())
    assert names == (["worker"] if leader_dies_too else ["web", "worker"])
    until(lambda: all(started(pid) is None for pid in everybody))


def test_a_process_that_has_the_recorded_pid_by_chance_is_left_alone(stage: Stage) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = stage.directory / "processes" / "worker.process.json"
        record.parent.mkdir()
        record.write_text(json.dumps({"pid": stranger.pid, "started": "long ago", "command": ["worker"]}))
        assert Process.recorded(record) is None
        assert end_left_behind(stage.directory, keep=()) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_fork_has_the_environment_the_log_and_the_name_that_it_was_given_and_no_others(forking: Stage) -> None:
    code = "import os, time; print(sorted(os.environ), flush=True); time.sleep(60)"
    child = forking.child("worker", code)
    child.environment = {"ONLY": "this"}
    child.spawn()
    until(lambda: child.log.read_text() == "['ONLY']\n")
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(child.pid())], capture_output=True, text=True).stdout
    assert shown.strip() == f"{sys.executable} -c"
    descriptors = {os.readlink(each) for each in Path(f"/proc/{child.pid()}/fd").iterdir()}
    assert descriptors == {os.devnull, str(child.log)}


def test_no_two_forks_make_the_same_numbers_up(forking: Stage) -> None:
    code = "import random, uuid_utils.compat as u; print(random.random(), u.uuid4(), u.uuid7().hex[13:])"
    children = [forking.child(name, code) for name in ("one", "other")]
    for each in children:
        each.spawn()
        until(lambda each=each: not each.alive())  # type: ignore[misc]
    words = [word for each in children for word in each.log.read_text().split()]
    assert len(set(words)) == 6


def test_a_fork_that_could_not_even_begin_says_why(forking: Stage) -> None:
    child = forking.child("worker", "")
    child.command = [sys.executable, "-m", "no_such_module"]
    child.spawn()
    until(lambda: not child.alive())
    assert child.ending() == "ended with exit code 1"
    assert "No module named no_such_module" in child.log.read_text()


def test_a_fork_outlives_its_server_and_its_end_is_noticed_all_the_same(forking: Stage) -> None:
    child = forking.child("worker", SERVES)
    child.spawn()
    until(child.healthy)
    forking.server.kill()
    assert child.alive()
    with pytest.raises(EmbeddedError, match="the fork server has ended"):
        forking.child("another", SERVES).spawn()
    child.kill()
    assert child.ending() == f"ended with exit code {UNKNOWN}"


def test_a_server_that_hangs_is_not_waited_for_forever(forking: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "PATIENCE", 0.2)
    os.kill(forking.server.pid() or 0, signal.SIGSTOP)
    with pytest.raises(EmbeddedError, match="the fork server does not answer"):
        forking.child("worker", SERVES).spawn()
    assert not forking.server.alive()


def test_a_server_that_was_killed_is_started_again_and_serves(forking: Stage) -> None:
    forking.server.kill()
    child = forking.child("worker", SERVES, needs=("fork-server",))

    def kill_both() -> None:
        for each in (forking.server, child):
            os.kill(each.pid() or 0, signal.SIGKILL)
        until(lambda: any("worker is ready again" in line for line in forking.said))
        assert any("fork-server was killed by SIGKILL" in line for line in forking.said)

    watching(forking.supervisor(forking.server, child), kill_both)


def _group_of(leader: int) -> set[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid, group in (line.split() for line in listed.splitlines()) if int(group) == leader}
