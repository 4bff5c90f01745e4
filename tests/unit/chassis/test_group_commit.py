"""Requests that come while a transaction is under way share the next one, and nothing else."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from chassis.errors import AppError, Conflict, Unavailable
from chassis.few import Few
from chassis.group_commit import GroupCommit
from chassis.together import RowHeld, Together

PATIENCE = 10.0


class Sessions:
    """Transactions on nothing: notes how they ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.info: dict[str, Any] = {}
        self.kw = {"bind": SimpleNamespace(pool=SimpleNamespace(size=lambda: 4))}

    def __call__(self) -> "Sessions":
        return self

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    @contextmanager
    def begin(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.ended.append("rolled back")
            raise
        self.ended.append("committed")


class Work:
    """Doubles numbers. The first transaction stands still until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, _session: object, numbers: Sequence[int], /, *, wait: bool) -> list[int | AppError | RowHeld]:
        self.groups.append(list(numbers))
        self.begun.set()
        assert self.let_go.wait(PATIENCE)
        if 13 in numbers:
            raise ArithmeticError("13 breaks the transaction it is in")
        return [Conflict("7 is taken") if each == 7 else each * 2 for each in numbers]


def await_line(commit: Together[int, int], length: int) -> None:
    """Until so many requests stand in line."""
    deadline = time.monotonic() + PATIENCE
    while len(commit._waiting) < length:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def together(sessions: Sessions, work: Work) -> Iterator[Callable[..., list[Future[int]]]]:
    """Asks for 1, and for the other numbers while that is under way; all have been asked for when it is let go."""
    commit: GroupCommit[int, int] = GroupCommit(sessions, work, lambda number: 1, most=5, few=Few(2, 4))  # type: ignore[arg-type]

    with ThreadPoolExecutor(20) as threads:

        def ask(*numbers: int) -> list[Future[int]]:
            first = threads.submit(commit, 1)
            assert work.begun.wait(PATIENCE)
            others = []
            for position, number in enumerate(numbers, 1):
                others.append(threads.submit(commit, number))
                await_line(commit, position)
            work.let_go.set()
            return [first, *others]

        yield ask


def test_alone_a_request_waits_for_nobody(sessions: Sessions, work: Work) -> None:
    work.let_go.set()
    commit: GroupCommit[int, int] = GroupCommit(sessions, work, lambda number: 1, most=5, few=Few(2, 4))  # type: ignore[arg-type]
    assert [commit(2), commit(3)] == [4, 6]
    assert work.groups == [[2], [3]]


def test_who_comes_meanwhile_shares_the_next_transaction_and_gets_an_answer_of_its_own(
    together: Callable[..., list[Future[int]]], work: Work, sessions: Sessions
) -> None:
    assert [each.result(PATIENCE) for each in together(2, 3, 4)] == [2, 4, 6, 8]
    assert work.groups == [[1], [2, 3, 4]]
    assert sessions.ended == ["committed"] * 2


def test_what_does_not_fit_goes_with_the_next(together: Callable[..., list[Future[int]]], work: Work) -> None:
    numbers = range(2, 14 - 1)
    assert [each.result(PATIENCE) for each in together(*numbers) if each.exception(PATIENCE) is None] == [
        each * 2 for each in (1, *numbers) if each != 7
    ]
    assert [len(each) for each in work.groups] == [1, 5, 5, 1]


def test_a_refusal_is_one_requests_own(together: Callable[..., list[Future[int]]], sessions: Sessions) -> None:
    _, six, seven, eight = together(6, 7, 8)
    assert (six.result(PATIENCE), eight.result(PATIENCE)) == (12, 16)
    with pytest.raises(Conflict):
        seven.result(PATIENCE)
    assert sessions.ended == ["committed"] * 2


def test_one_that_breaks_the_transaction_is_no_fate_of_the_others(
    together: Callable[..., list[Future[int]]], work: Work, sessions: Sessions
) -> None:
    _, twelve, thirteen, fourteen = together(12, 13, 14)
    assert (twelve.result(PATIENCE), fourteen.result(PATIENCE)) == (24, 28)
    with pytest.raises(ArithmeticError):
        thirteen.result(PATIENCE)
    assert work.groups == [[1], [12, 13, 14], [12], [13], [14]]
    assert sessions.ended == ["committed", "rolled back", "committed", "rolled back", "committed"]


def test_a_database_that_is_away_is_asked_once_for_all(sessions: Sessions, work: Work) -> None:
    asked = []

    def away(_session: object, numbers: Sequence[int], /, *, wait: bool) -> list[int]:
        asked.append(list(numbers))
        work([], [1], wait=wait)
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    commit: GroupCommit[int, int] = GroupCommit(sessions, away, lambda number: 1, most=5, few=Few(2, 4))  # type: ignore[arg-type]
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(commit, 1)
        assert work.begun.wait(PATIENCE)
        others = [threads.submit(commit, number) for number in (2, 3)]
        await_line(commit, 2)
        work.let_go.set()
        for each in (first, *others):
            with pytest.raises(OperationalError):
                each.result(PATIENCE)
    assert [sorted(each) for each in asked] == [[1], [2, 3]]


class Held:
    """Doubles numbers. 7's row is held until it is let go, and then the work of whoever waits for it is done."""

    def __init__(self, told: bool) -> None:
        """``told``: a group is told which of them needs the row; else its lock time-out ends the whole."""
        self.told = told
        self.let_go = threading.Event()
        self.waiting = threading.Semaphore(0)

    def __call__(self, _session: object, numbers: Sequence[int], /, *, wait: bool) -> list[int | RowHeld]:
        if 7 in numbers and wait:
            self.waiting.release()
            assert self.let_go.wait(PATIENCE)
        elif 7 in numbers and not self.told:
            raise OperationalError("SELECT 1", {}, LockNotAvailable())
        return [RowHeld() if each == 7 and not wait else each * 2 for each in numbers]


class LockNotAvailable(Exception):
    pgcode = "55P03"


@pytest.mark.parametrize("told", [True, False])
def test_who_needs_a_row_that_is_held_waits_alone(sessions: Sessions, told: bool) -> None:
    held = Held(told)
    commit: GroupCommit[int, int] = GroupCommit(sessions, held, lambda number: 1, most=5, few=Few(2, 4))  # type: ignore[arg-type]
    with ThreadPoolExecutor(9) as threads:
        waits = threads.submit(commit, 7)
        assert held.waiting.acquire(timeout=PATIENCE)
        numbers = [1, 2, 3, 7, 4, 5]
        others = [threads.submit(commit, each) for each in numbers]
        for number, each in zip(numbers, others, strict=True):
            assert number == 7 or each.result(PATIENCE) == 2 * number
        assert not waits.done()
        held.let_go.set()
        assert [waits.result(PATIENCE), others[3].result(PATIENCE)] == [14, 14]


def test_who_has_waited_alone_for_a_row_and_is_refused_then_hears_so(sessions: Sessions) -> None:
    def refuse(_session: object, numbers: Sequence[int], /, *, wait: bool) -> list[int | AppError | RowHeld]:
        return [Conflict("7 is taken") if wait else RowHeld() for _ in numbers]

    commit: GroupCommit[int, int] = GroupCommit(sessions, refuse, lambda number: 1, most=5, few=Few(2, 4))  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        commit(7)


def test_few_wait_for_rows_and_all_others_are_refused(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.few.LONGEST_WAIT", 0.2)
    held = Held(told=True)
    commit: GroupCommit[int, int] = GroupCommit(sessions, held, lambda number: 1, most=5, few=Few(2, 4))  # type: ignore[arg-type]
    with ThreadPoolExecutor(9) as threads:
        asked = [threads.submit(commit, 7) for _ in range(9)]
        assert all(held.waiting.acquire(timeout=PATIENCE) for _ in range(2))  # half of the connections
        deadline = time.monotonic() + PATIENCE
        while sum(each.done() for each in asked) < 7:  # two had no turn in time, five had no place
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert commit(1) == 2
        held.let_go.set()
        ends = [each.exception(PATIENCE) for each in asked]
    assert [type(each) for each in ends if each is not None] == [Unavailable] * 7
    assert not held.waiting.acquire(blocking=False), "a third waited for the row"


class Doubling:
    """Doubles groups of numbers; each group stands still until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.let_go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, numbers: list[int]) -> list[int | AppError]:
        self.groups.append(sorted(numbers))
        self.begun.release()
        assert self.let_go.acquire(timeout=PATIENCE)
        return [each * 2 for each in numbers]


@pytest.fixture
def doubling() -> Doubling:
    return Doubling()


@contextmanager
def one_waits_behind_two(doubling: Doubling, longest_gap: float) -> Iterator[Callable[[int], Future[int]]]:
    """2 and 3 were doubled together, 4 has come meanwhile and is the next to lead. Gives the way to ask for more."""
    together: Together[int, int] = Together(doubling, lambda number: 1, 5, longest_gap)
    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(together, 1)]
        assert doubling.begun.acquire(timeout=PATIENCE)
        for position, number in enumerate((2, 3), 1):
            asked.append(threads.submit(together, number))
            await_line(together, position)
        doubling.let_go.release()
        assert doubling.begun.acquire(timeout=PATIENCE)
        asked.append(threads.submit(together, 4))
        await_line(together, 1)
        doubling.let_go.release(3)
        assert [each.result(PATIENCE) for each in asked[:3]] == [2, 4, 6]
        yield lambda number: threads.submit(together, number)
        assert asked[3].result(PATIENCE) == 8


def test_after_a_group_of_two_the_next_leader_waits_for_a_second(doubling: Doubling) -> None:
    with one_waits_behind_two(doubling, longest_gap=PATIENCE) as ask:
        assert not doubling.begun.acquire(timeout=0.1)
        assert ask(5).result(PATIENCE) == 10
    assert doubling.groups == [[1], [2, 3], [4, 5]]


def test_behind_each_group_of_two_the_next_leader_waits_for_a_second(doubling: Doubling) -> None:
    with one_waits_behind_two(doubling, longest_gap=PATIENCE) as ask:
        assert ask(5).result(PATIENCE) == 10
        assert doubling.begun.acquire(timeout=PATIENCE)
        six = ask(6)
        assert not doubling.begun.acquire(timeout=0.1)
        assert [ask(7).result(PATIENCE), six.result(PATIENCE)] == [14, 12]
    assert doubling.groups == [[1], [2, 3], [4, 5], [6, 7]]


def test_the_next_leader_waits_no_longer_than_it_may(doubling: Doubling) -> None:
    began = time.monotonic()
    with one_waits_behind_two(doubling, longest_gap=0.2):
        assert doubling.begun.acquire(timeout=PATIENCE)
        assert time.monotonic() - began >= 0.2
    assert doubling.groups == [[1], [2, 3], [4]]


def test_without_a_gap_the_next_leader_waits_for_nobody(doubling: Doubling) -> None:
    with one_waits_behind_two(doubling, longest_gap=0.0) as ask:
        assert doubling.begun.acquire(timeout=PATIENCE)
        assert ask(5).result(PATIENCE) == 10
    assert doubling.groups == [[1], [2, 3], [4], [5]]
