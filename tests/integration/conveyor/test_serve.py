"""``conveyor serve`` as a real process: it stops cleanly, dies whole, and never shares its port."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from conveyor.embedded.ports import free_port
from conveyor.serve import START_WITHIN


class Gateway:
    """A served gateway in front of a sales that never answers."""

    def __init__(self, log: Path, **settings: str) -> None:
        self.port, self.log = free_port(), log
        self.silent_sales = socket.create_server(("127.0.0.1", 0))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONVEYOR_")},
            "CONVEYOR_GATEWAY_PORT": str(self.port),
            "CONVEYOR_REDIS_URL": "redis://127.0.0.1:9",
            "CONVEYOR_SALES_URL": f"http://127.0.0.1:{self.silent_sales.getsockname()[1]}",
            "CONVEYOR_UPSTREAM_TIMEOUT": "1.5",
            **{f"CONVEYOR_{name.upper()}": value for name, value in settings.items()},
        }
        self.process = self.spawn()

    def spawn(self) -> subprocess.Popen[bytes]:
        return spawn(self.environment, self.log)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(each) for each in children]

    def worker(self) -> int:
        [pid] = self.workers()
        return pid

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def is_up(self) -> bool:
        try:
            return self.ask("GET", "/health/live")[0] == 200
        except OSError:
            return False


def spawn(environment: dict[str, str], log: Path, *before: str) -> subprocess.Popen[bytes]:
    command = [*before, sys.executable, "-m", "conveyor", "serve", "gateway"]
    with log.open("ab") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)


def is_alive(pid: int) -> bool:
    """Running, and not merely waiting for somebody to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], Any]) -> Any:
    """Wait for a condition, half a minute at most."""
    deadline = time.monotonic() + 30
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return value


def running(log: Path, **settings: str) -> Iterator[Gateway]:
    served = Gateway(log, **settings)
    try:
        until(served.is_up)
        yield served
    finally:
        served.silent_sales.close()
        served.process.kill()
        served.process.wait()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that a test may kill."""
    yield from running(tmp_path / "log")


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of two web processes, which may be unwell for two seconds."""
    yield from running(tmp_path / "log", web_processes="2", live_within="2")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    yield from running(tmp_path_factory.mktemp("gateway") / "log")


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


@needs_proc
def test_the_worker_ends_with_a_master_that_was_killed_and_leaves_the_port(mortal: Gateway) -> None:
    worker = mortal.worker()
    assert is_alive(worker)
    mortal.process.kill()
    mortal.process.wait()
    until(lambda: not is_alive(worker))
    mortal.process = mortal.spawn()
    until(mortal.is_up)


@needs_proc
def test_a_worker_that_hangs_keeps_no_other_from_ending_with_the_master(impatient: Gateway) -> None:
    first, second = impatient.workers()
    os.kill(second, signal.SIGSTOP)
    try:
        impatient.process.kill()
        impatient.process.wait()
        until(lambda: not is_alive(first))
    finally:
        os.kill(second, signal.SIGKILL)


@needs_proc
def test_the_master_ends_with_a_worker_that_was_killed(mortal: Gateway) -> None:
    os.kill(mortal.worker(), signal.SIGKILL)
    assert mortal.process.wait(30) == 1
    assert "web_process_ended" in mortal.log.read_text()


@needs_proc
def test_a_web_process_that_hangs_is_ended_and_its_master_with_it(impatient: Gateway) -> None:
    first, second = impatient.workers()
    os.kill(second, signal.SIGSTOP)
    assert impatient.process.wait(START_WITHIN + 30) == 1  # it may not have said yet that it has started
    assert not is_alive(first)
    assert not is_alive(second)
    [line] = [line for line in impatient.log.read_text().splitlines() if "web_process_not_alive" in line]
    assert json.loads(line)["pid"] == second


@needs_proc
def test_a_pause_of_all_processes_is_nobodys_fault(impatient: Gateway) -> None:
    everybody = [impatient.process.pid, *impatient.workers()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        impatient.process.wait(4)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    with pytest.raises(subprocess.TimeoutExpired):
        impatient.process.wait(4)
    assert impatient.is_up()


@pytest.mark.parametrize("hard", [256, 4096])
def test_a_line_says_that_there_are_too_few_file_descriptors(gateway: Gateway, tmp_path: Path, hard: int) -> None:
    log = tmp_path / "log"
    environment = {**gateway.environment, "CONVEYOR_GATEWAY_PORT": str(free_port())}
    process = spawn(environment, log, "sh", "-c", f'ulimit -n {hard}; exec "$@"', "sh")
    try:
        until(lambda: "listening" in (log.read_text()))
        [few] = [json.loads(line) for line in log.read_text().splitlines() if "few_file_descriptors" in line]
        assert (few["hard_limit"], few["wanted"]) == (hard, 10_000)
        assert 100 < few["connections"] < hard
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_process_stops(mortal: Gateway, number: int) -> None:
    answers: list[tuple[int, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(mortal.ask("GET", "/orders")))
    asking.start()
    connection, _address = mortal.silent_sales.accept()
    mortal.process.send_signal(number)
    assert mortal.process.wait(30) == 0
    asking.join(5)
    connection.close()
    assert [(status, body["code"]) for status, body in answers] == [(503, "upstream_timeout")]
    assert not mortal.is_up()


def test_one_who_waits_for_an_order_is_answered_when_the_process_stops(mortal: Gateway) -> None:
    answers: list[tuple[int, Any]] = []
    headers = {"Prefer": "wait=30", "Content-Type": "application/json"}
    asking = threading.Thread(target=lambda: answers.append(mortal.ask("POST", "/orders", b"{}", headers)))
    asking.start()
    connection, address = mortal.silent_sales.accept()
    was_read = threading.Event()

    class Sales(BaseHTTPRequestHandler):
        """Takes an order, which stays Pending for ever."""

        protocol_version = "HTTP/1.1"

        def answer(self, status: int) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"id": "1", "status": "Pending"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.answer(201)

        def do_GET(self) -> None:
            self.answer(200)
            was_read.set()

        def log_message(self, *_: Any) -> None: ...

    threading.Thread(target=lambda: Sales(connection, address, None), daemon=True).start()
    assert was_read.wait(10)
    mortal.process.terminate()
    assert mortal.process.wait(30) == 0
    asking.join(5)
    connection.close()
    assert [(status, body["status"]) for status, body in answers] == [(201, "Pending")]


def test_a_taken_port_is_one_clear_line_and_exit_code_1(gateway: Gateway, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert spawn(gateway.environment, log).wait(30) == 1
    [line] = log.read_text().splitlines()
    event = json.loads(line)
    assert event["event"] == "cannot_start"
    assert f"127.0.0.1:{gateway.port}" in event["reason"]


def test_a_missing_setting_is_named_and_ends_the_process(gateway: Gateway, tmp_path: Path) -> None:
    poor = {**gateway.environment, "CONVEYOR_GATEWAY_PORT": str(free_port())}
    del poor["CONVEYOR_REDIS_URL"]
    log = tmp_path / "log"
    assert spawn(poor, log).wait(30) == 1
    assert "CONVEYOR_REDIS_URL is not set" in log.read_text()


def test_the_log_is_one_format_and_has_no_line_for_a_request(gateway: Gateway) -> None:
    gateway.ask("GET", "/nowhere")
    events = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    assert [each["event"] for each in events] == ["listening"]


def test_a_body_over_the_limit_is_refused_however_it_is_sent(gateway: Gateway) -> None:
    large = b'"' + b"x" * 1_048_576 + b'"'
    json_type = {"Content-Type": "application/json"}
    whole = gateway.ask("POST", "/orders", large, json_type)
    in_chunks = gateway.ask("POST", "/orders", iter([large[:9], large[9:]]), json_type)
    assert [(status, body["code"]) for status, body in (whole, in_chunks)] == [(413, "too_large")] * 2
    assert gateway.is_up()


def test_a_body_that_is_not_json_is_refused_however_it_is_sent(gateway: Gateway) -> None:
    whole = gateway.ask("POST", "/orders", b"a=b")
    in_chunks = gateway.ask("POST", "/orders", iter([b"a", b"=b"]))
    assert [(status, body["code"]) for status, body in (whole, in_chunks)] == [(415, "unsupported_media_type")] * 2
