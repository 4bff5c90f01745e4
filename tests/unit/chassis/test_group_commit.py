"""Requests that come while a transaction is under way share the next one, and nothing else."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from chassis.errors import AppError, Conflict
from chassis.group_commit import GroupCommit

PATIENCE = 10.0


class Sessions:
    """Transactions on nothing: notes how they ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.info: dict[str, Any] = {}

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

    def __call__(self, _session: object, numbers: list[int]) -> list[int | AppError]:
        self.groups.append(numbers)
        self.begun.set()
        assert self.let_go.wait(PATIENCE)
        if 13 in numbers:
            raise ArithmeticError("13 breaks the transaction it is in")
        return [Conflict("7 is taken") if each == 7 else each * 2 for each in numbers]


def await_line(commit: GroupCommit[int, int], length: int) -> None:
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
    commit: GroupCommit[int, int] = GroupCommit(sessions, work, lambda number: 1, most=5)  # type: ignore[arg-type]

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
    commit: GroupCommit[int, int] = GroupCommit(sessions, work, lambda number: 1, most=5)  # type: ignore[arg-type]
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

    def away(_session: object, numbers: list[int]) -> list[int | AppError]:
        asked.append(list(numbers))
        work([], [1])
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    commit: GroupCommit[int, int] = GroupCommit(sessions, away, lambda number: 1, most=5)  # type: ignore[arg-type]
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
