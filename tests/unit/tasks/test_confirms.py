"""What the broker's answers say of the messages that were sent: which it has, and which are still open."""

from celery import Celery

from tasks.publisher import Publisher


def open_after(*answers: tuple[str, int, bool]) -> tuple[list[int], set[str]]:
    """Of four messages those that are still open, and the queues that refused, after these acks and nacks."""
    publisher = Publisher(Celery("conveyor"), "amqp://nowhere")
    publisher._open = {number: f"queue_{number}" for number in range(1, 5)}
    for kind, tag, multiple in answers:
        (publisher._on_ack if kind == "ack" else publisher._on_nack)(tag, multiple)
    return list(publisher._open), set(publisher._refused)


def test_an_answer_for_one_is_for_no_other() -> None:
    assert open_after(("ack", 2, False)) == ([1, 3, 4], set())
    assert open_after(("nack", 2, False)) == ([1, 3, 4], {"queue_2"})


def test_an_answer_for_several_is_for_all_up_to_that_one_and_for_none_behind_it() -> None:
    assert open_after(("ack", 2, True)) == ([3, 4], set())
    assert open_after(("nack", 3, True)) == ([4], {"queue_1", "queue_2", "queue_3"})


def test_answers_may_come_in_any_order() -> None:
    assert open_after(("ack", 3, False), ("nack", 1, False), ("ack", 4, True)) == ([], {"queue_1"})
