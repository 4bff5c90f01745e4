"""The schedule of a chaos run: a pure function of its seed and its length."""

from collections import Counter

import pytest

from conveyor.chaos.schedule import (
    CAPPED_FOR,
    HEAD_START,
    NEEDS_RABBITMQ,
    RESTARTS,
    SHORT,
    Kind,
    processes,
    schedule,
)

SEEDS = range(1, 30)


def test_the_same_seed_and_length_make_the_same_schedule() -> None:
    assert schedule(7, 600) == schedule(7, 600)


def test_another_seed_makes_another_schedule() -> None:
    assert schedule(7, 600) != schedule(8, 600)


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_have_more_than_a_hundred_kills(seed: int) -> None:
    assert sum(each.kind == Kind.KILL for each in schedule(seed, 600)) > 120


@pytest.mark.parametrize("seed", SEEDS)
def test_a_minute_has_every_kind_of_torment(seed: int) -> None:
    planned = schedule(seed, 60)
    assert {each.kind for each in planned} == set(Kind)
    assert {each.target for each in planned if each.kind in RESTARTS} == {"broker", "postgres", "valkey"}


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_kill_every_process(seed: int) -> None:
    killed = Counter(each.target for each in schedule(seed, 6_000) if each.kind == Kind.KILL)
    assert killed.keys() == processes(workers=1, relays=1).keys()


def test_where_there_are_two_of_each_both_are_killed_and_paused() -> None:
    planned = schedule(1, 6_000, workers=2, relays=2)
    for kind in (Kind.KILL, Kind.PAUSE):
        hit = {each.target for each in planned if each.kind == kind}
        assert {"worker-sales", "worker-sales-2", "relay-delivery", "relay-delivery-2"} <= hit


@pytest.mark.parametrize("seconds", [30.0, 60.0, 600.0])
def test_everything_happens_within_the_run_and_in_order(seconds: float) -> None:
    moments = [each.at for each in schedule(3, seconds)]
    assert moments == sorted(moments)
    assert moments[0] >= HEAD_START
    assert moments[-1] <= seconds


def test_a_queue_is_capped_for_twenty_seconds() -> None:
    assert {each.lasts for each in schedule(1, 600) if each.kind == Kind.CAP} == {CAPPED_FOR} == {20.0}


def test_a_short_run_has_no_pause_longer_than_the_run_could_bear() -> None:
    assert all(each.lasts < 10 for seed in SEEDS for each in schedule(seed, SHORT - 1) if each.kind == Kind.PAUSE)


def test_without_rabbitmq_only_that_is_left_out_which_only_it_can_do() -> None:
    whole = schedule(5, 600)
    assert schedule(5, 600, rabbitmq=False) == [each for each in whole if each.kind not in NEEDS_RABBITMQ]


def test_an_action_is_told_in_one_line() -> None:
    assert {"\n" in str(each) for each in schedule(1, 600)} == {False}
