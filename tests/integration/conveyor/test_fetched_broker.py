"""RabbitMQ out of packages: a tree is whole or not there, whatever happens to the fetching of it. By the real APT."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from chassis.settings import Settings
from conveyor import servers
from conveyor.embedded import apt, rabbitmq, rabbitmq_tree
from conveyor.embedded.apt import Apt
from conveyor.embedded.processes import inherited
from conveyor.own_stack import own_stack
from conveyor.servers import provide_rabbitmq
from tests.integration.conveyor.archive import FALSE, TRUE, Archive, with_rabbitmq
from tests.integration.conveyor.test_embedded_supervisor import until

NO_PARTS = 'Dir::Etc::sourceparts "/dev/null";'


@pytest.fixture(scope="module", autouse=True)
def apt_is_here() -> None:
    if not apt.here():
        missing = "needs APT: Debian and its kin have it"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return with_rabbitmq(tmp_path / "archive")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "state" / "fetched" / "here"


def make(tree: Path, source: str) -> list[str]:
    """What is said while a tree is made of what this source has."""
    said: list[str] = []
    rabbitmq_tree.make(tree, Apt(tree.with_name("apt"), source), said.append)
    return said


def refused(tree: Path, source: str) -> str:
    """Why no tree comes of it, and none is there."""
    with pytest.raises(rabbitmq_tree.NoTree) as caught:
        make(tree, source)
    assert not tree.exists()
    assert not tree.with_name(f"{tree.name}.new").exists()
    return str(caught.value)


class TestATree:
    def test_is_said_and_made_and_found_by_the_path(
        self, tree: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (said,) = make(tree, archive.source())
        assert "RabbitMQ 9.8.7" in said
        assert "3 packages, " in said
        assert f"MB, from copy:{archive.folder}, signatures checked by APT, into {tree}" in said
        assert sorted(each.name for each in tree.parent.iterdir()) == ["here", "here.lock"]
        monkeypatch.setenv("PATH", os.environ["PATH"])
        rabbitmq_tree.use(tree)
        assert rabbitmq.installed() == tree / "usr/lib/rabbitmq/lib/rabbitmq_server-9.8.7/sbin"

    def test_starts_erlang_s_programs_by_its_own_libraries(self, tree: Path, archive: Archive) -> None:
        make(tree, archive.source())
        moved = tree.rename(tree.with_name("moved"))
        for program in ("bin/erl", "bin/epmd", "bin/escript", "usr/lib/erlang/lib/os_mon-1/priv/bin/memsup"):
            done = subprocess.run([moved / program], env={"LD_DEBUG": "libs"}, capture_output=True, text=True)
            assert done.returncode == 0
            assert re.search(rf"calling init: {moved}/usr/lib/[^/]+/libc.so.6", done.stderr)

    def test_is_made_of_what_the_archive_has_now_where_the_system_s_lists_are_old(
        self, tree: Path, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = Apt(tmp_path / "system", archive.source())
        old.resolve_anew(rabbitmq_tree.PACKAGE)
        monkeypatch.setattr(apt, "SYSTEM_LISTS", tmp_path / "system" / "lists")
        sources = tmp_path / "sources.list"
        sources.write_text(archive.source())
        monkeypatch.setattr(apt, "_of_the_system", lambda: [f'Dir::Etc::sourcelist "{sources}";', NO_PARTS])
        next(archive.folder.glob("rabbitmq-server_*.deb")).unlink()
        newer = with_rabbitmq(tmp_path / "newer", "9.8.8-1")
        for each in newer.folder.iterdir():
            each.replace(archive.folder / each.name)
        said: list[str] = []
        rabbitmq_tree.make(tree, Apt(tree.with_name("apt")), said.append)
        assert ["9.8.7" in said[0], len(said)] == [True, 1], "the lists of the system were not looked at"
        assert (tree / "bin" / "rabbitmq-server").exists()

    def test_is_made_once_where_two_want_it_at_once(self, tree: Path, archive: Archive) -> None:
        with ThreadPoolExecutor() as pool:
            both = [pool.submit(make, tree, archive.source()) for _ in range(2)]
        assert sorted(len(each.result()) for each in both) == [0, 1]
        assert (tree / "bin" / "erl").exists()


class TestNoTree:
    def test_comes_of_packages_that_nobody_has_signed(self, tree: Path, archive: Archive) -> None:
        assert "does not have a Release file" in refused(tree, archive.source(options=""))
        archive.add_release()
        assert "is not signed" in refused(tree, archive.source(options=""))

    def test_comes_of_a_package_that_is_not_what_the_index_says(self, tree: Path, archive: Archive) -> None:
        package = next(archive.folder.glob("erlang-base_*.deb"))
        whole = package.read_bytes()
        package.write_bytes(whole[:-1] + b"!")
        assert "erlang-base_1_all.deb" in refused(tree, archive.source())
        package.write_bytes(whole)
        make(tree, archive.source())

    def test_comes_of_an_archive_that_is_away(self, tree: Path) -> None:
        with socket.socket() as bound:  # and does not listen
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            said = refused(tree, f"deb [trusted=yes] http://127.0.0.1:{port}/debian stable main\n")
        assert "connect to 127.0.0.1" in said

    def test_comes_of_an_archive_without_rabbitmq(self, tree: Path, tmp_path: Path) -> None:
        empty = Archive(tmp_path / "archive")
        empty.write()
        assert "Unable to locate package rabbitmq-server" in refused(tree, empty.source())

    def test_comes_of_an_erlang_that_does_not_run_here(self, tree: Path, archive: Archive) -> None:
        programs: dict[str, Path | str] = {
            "usr/lib/erlang/erts-1/bin/erlexec": FALSE,
            "usr/lib/erlang/erts-1/bin/epmd": TRUE,
            "usr/lib/erlang/erts-1/bin/escript": TRUE,
        }
        archive.add("erlang-base", "2", programs, "libc6")
        assert refused(tree, archive.source()) == "its Erlang does not run here: exit code 1"

    def test_comes_of_a_disk_that_is_too_small(
        self, tree: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rabbitmq_tree, "UNPACKED", 10**12)
        assert " MiB left; " in refused(tree, archive.source())

    def test_comes_of_a_disk_that_is_full_meanwhile(
        self, tree: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A file of dpkg-deb's may have no more than 100 kB, and the kernel says so to it, as it does of a full disk.
        (tree.parent / "bin").mkdir(parents=True)
        limited = tree.parent / "bin" / "dpkg-deb"
        limited.write_text(f"#!/bin/sh\ntrap '' XFSZ\nulimit -f 200\nexec {shutil.which('dpkg-deb')} \"$@\"\n")
        limited.chmod(0o755)
        with monkeypatch.context() as patched:
            patched.setenv("PATH", f"{limited.parent}:{os.environ['PATH']}")
            assert "ld-linux" in refused(tree, archive.source())
        make(tree, archive.source())

    def test_comes_into_a_folder_that_rabbitmq_s_scripts_cannot_bear(self, tmp_path: Path, archive: Archive) -> None:
        assert "a blank in its name" in refused(tmp_path / "my shop" / "here", archive.source())


@pytest.fixture
def hanging() -> Iterator[tuple[str, threading.Event]]:
    """A source whose server takes every connection and answers none, and whether it has taken one."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with contextlib.ExitStack() as taken:
                while True:
                    try:
                        taken.enter_context(server.accept()[0])
                    except OSError:
                        return
                    asked.set()

        thread = threading.Thread(target=take)
        thread.start()
        yield f"deb [trusted=yes] http://127.0.0.1:{server.getsockname()[1]}/debian stable main\n", asked
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


class Fetching:
    """``conveyor run`` on a machine without RabbitMQ, that fetches it from this source."""

    def __init__(self, state: Path, source: str) -> None:
        code = (
            "import sys, functools\nfrom conveyor import servers\nfrom conveyor.cli import main\n"
            "servers.rabbitmq.installed = lambda: None\n"
            f"servers.Apt = functools.partial(servers.Apt, sources={source!r})\n"
            "main(['run', '--no-first-order'])\n"
        )
        self.state = state
        self.log = state.parent / "run.log"
        with self.log.open("wb") as output:
            environment = inherited() | own_stack(state)
            command = [sys.executable, "-c", code]
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def apt(self) -> psutil.Process | None:
        """Its APT, while it runs."""
        try:
            record = json.loads((self.state / "fetched" / "apt" / "apt.process.json").read_text())
            return psutil.Process(record["pid"])
        except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
            return None


class TestWhileItIsFetched:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_it_and_apt(self, tmp_path: Path, hanging: tuple[str, threading.Event], number: int) -> None:
        run = Fetching(tmp_path / "state", hanging[0])
        assert hanging[1].wait(30)
        run.process.send_signal(number)
        assert run.process.wait(20) == 0
        assert run.log.read_text().endswith("Stopped.\n")
        assert run.apt() is None

    def test_a_kill_leaves_an_apt_that_the_next_run_ends(
        self, tmp_path: Path, hanging: tuple[str, threading.Event], archive: Archive
    ) -> None:
        run = Fetching(tmp_path / "state", hanging[0])
        assert hanging[1].wait(30)
        run.process.kill()
        run.process.wait()
        left = run.apt()
        assert left is not None
        make(tmp_path / "state" / "fetched" / "here", archive.source())
        until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE, 10)


class TestWhoeverNeedsABroker:
    @pytest.fixture(autouse=True)
    def no_rabbitmq(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rabbitmq, "installed", lambda: None)
        monkeypatch.setenv("PATH", os.environ["PATH"])

    @pytest.fixture
    def comes_from(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        def comes_from(source: str) -> None:
            monkeypatch.setattr(servers, "Apt", lambda folder: Apt(folder, source))

        return comes_from

    def provide(self, state: Path, **settings: str) -> tuple[str, list[str]]:
        said: list[str] = []
        missing = provide_rabbitmq(Settings(**settings), state, said.append)  # type: ignore[arg-type]
        return missing, said

    def test_gets_it_once(self, tmp_path: Path, archive: Archive, comes_from: Callable[[str], None]) -> None:
        comes_from(archive.source())
        missing, said = self.provide(tmp_path)
        assert (missing, len(said)) == ("", 1)
        assert said[0].endswith("CONVEYOR_EMBEDDED_BROKER=valkey does without.")
        assert os.environ["PATH"].startswith(f"{tmp_path}/fetched/{rabbitmq_tree.release()}/bin:")
        assert self.provide(tmp_path) == ("", [])

    def test_gets_that_of_the_release_that_runs_now(
        self, tmp_path: Path, archive: Archive, comes_from: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        comes_from(archive.source())
        self.provide(tmp_path)
        monkeypatch.setattr(rabbitmq_tree, "release", lambda: "debian-99-x86_64")
        assert self.provide(tmp_path)[0] == ""
        assert os.environ["PATH"].startswith(f"{tmp_path}/fetched/debian-99-x86_64/bin:")

    def test_is_told_why_there_is_none_and_gets_the_stand_in(
        self, tmp_path: Path, comes_from: Callable[[str], None]
    ) -> None:
        comes_from("deb [trusted=yes] copy:/nowhere ./\n")
        missing, said = self.provide(tmp_path)
        assert missing.startswith("which is not installed here and could not be fetched: ")
        assert "/nowhere" in missing
        assert said == []
        chosen = servers.Servers.chosen(Settings(), tmp_path)
        assert f"stands in for RabbitMQ, {missing}." in chosen.about_the_broker(Settings(), missing)

    def test_who_insists_is_refused(self, tmp_path: Path, comes_from: Callable[[str], None]) -> None:
        comes_from("deb [trusted=yes] copy:/nowhere ./\n")
        with pytest.raises(rabbitmq_tree.NoTree, match="could not be fetched"):
            self.provide(tmp_path, embedded_broker="rabbitmq")

    @pytest.mark.parametrize("settings", [{"embedded_broker": "valkey"}, {"broker_url": "amqp://broker.example/shop"}])
    def test_who_needs_none_fetches_none(self, tmp_path: Path, settings: dict[str, str]) -> None:
        assert self.provide(tmp_path, **settings) == ("", [])
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("platform", "words"), [("darwin", " (brew install rabbitmq)"), ("linux", "")])
    def test_without_apt_is_told_what_there_is_instead(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, words: str
    ) -> None:
        monkeypatch.setattr(apt, "here", lambda: False)
        monkeypatch.setattr(sys, "platform", platform)
        assert self.provide(tmp_path) == (f"which is not installed here{words}", [])
