"""How long a unit that keeps dying is left alone."""

from conveyor.embedded.supervisor import Life


def test_the_pause_doubles_up_to_half_a_minute() -> None:
    life = Life(began=0.0)
    pauses = []
    for _ in range(9):
        pauses.append(life.died(now=1.0))
        life.born(now=1.0)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_steady_run_makes_it_prompt_again() -> None:
    life = Life(began=0.0)
    assert [life.died(now=1.0), life.died(now=2.0)] == [0.5, 1]
    life.born(now=10.0)
    assert life.died(now=29.9) == 2
    life.born(now=100.0)
    assert life.died(now=120.0) == 0.5
