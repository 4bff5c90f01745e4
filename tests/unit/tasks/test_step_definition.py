"""What is wrong with a step is said when it is defined, not when its first message comes."""

import msgspec
import pytest

from tasks.step import AnswersMissing, _answered, step


class Said(msgspec.Struct):
    """An answer."""

    order_id: str
    note: str | None = None
    ended: bool = False


def test_a_task_without_a_queue_is_refused_with_the_likely_question() -> None:
    with pytest.raises(LookupError, match=r"sales\.forgotten has no queue\. Did you forget to add it to QUEUE_OF_TASK"):
        step("sales.forgotten", Said)


@pytest.mark.parametrize(
    "answers",
    [[], [Said("1")], [Said("2"), Said("1")], [Said("1"), Said("1")], [Said("1"), Said("2"), Said("3")]],
)
def test_a_step_answers_for_every_order_in_their_order(answers: list[Said]) -> None:
    with pytest.raises(AnswersMissing):
        _answered("sales.update_order_status", [{"order_id": "1"}, {"order_id": "2"}], answers)


def test_an_answer_is_laid_over_its_order_and_what_is_none_is_taken_out() -> None:
    orders = [{"order_id": "1", "note": "old", "kept": 7}, {"order_id": "2", "note": "old"}, {"order_id": "3"}]
    answers = [Said("1"), Said("2", "new"), Said("3", ended=True)]
    onward = [{"order_id": "1", "kept": 7}, {"order_id": "2", "note": "new"}]
    assert _answered("sales.update_order_status", orders, answers) == onward
