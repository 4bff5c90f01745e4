"""``conveyor quarantine`` on a real PostgreSQL: looking, sending again, letting be; nothing leaves the record."""

import json
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.outbox import outbox
from chassis.settings import read
from conveyor.cli import cli, main
from conveyor.embedded.ports import free_port
from sales import faults, placing, service
from sales.messages import Fault
from sales.models import order_events, order_sagas, orders, quarantine

RESERVE, LINKS = "inventory.reserve_stock", [{"task": "delivery.create_delivery", "args": []}]


@pytest.fixture
def sessions(sales_sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    with transaction(sales_sessions) as session:
        session.execute(quarantine.delete())
        session.execute(outbox.delete())
    return sales_sessions


def run(*arguments: str) -> Result:
    consent = ["--yes"] if arguments[0] == "drop" else []
    return CliRunner().invoke(cli, ["quarantine", *arguments, *consent], env={"USER": "ada"})


def place(sessions: sessionmaker[Session]) -> UUID:
    with transaction(sessions) as session:
        details = {"name": "Ada", "email": f"{uuid7().hex}@example.org", "address": "1 Main Street"}
        customer, _ = service.register_customer(session, details, None)
        draft = {"customer_id": customer.id, "items": [{"product_id": uuid7(), "quantity": 1}]}
        order_id: UUID = placing.place_order(session, draft, None, "trace")[0]["id"]
        session.execute(outbox.delete())
    return order_id


def keep(sessions: sessionmaker[Session], order_id: UUID | None = None, **different: Any) -> str:
    """A step has given up on a message; returns the message's id."""
    message_id = str(uuid7())
    said: dict[str, Any] = {
        "order_id": str(order_id) if order_id else None,
        "message_id": message_id,
        "queue": "stock_reservation_queue",
        "task": RESERVE,
        "body": {"bundle": [{"order_id": str(order_id), "kind": "place", "no": 0}], "links": LINKS},
        "headers": {"id": message_id},
        "reason": "ValueError: a bad line",
    }
    with transaction(sessions) as session:
        faults.record_faults(session, [Fault(**{**said, **different})])
    return message_id


def state(sessions: sessionmaker[Session], message_id: str) -> tuple[Any, ...]:
    columns = (quarantine.c.state, quarantine.c.settled_by, quarantine.c.settled_reason)
    with transaction(sessions) as session:
        return tuple(session.execute(select(*columns).where(quarantine.c.message_id == message_id)).one())


def sent(sessions: sessionmaker[Session]) -> list[Any]:
    with transaction(sessions) as session:
        return list(session.execute(outbox.delete().returning(outbox)))


class TestReplay:
    def test_sends_the_message_alone_and_clears_flag_and_count(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        message_id = keep(sessions, order_id)
        with transaction(sessions) as session:
            mine = order_sagas.c.order_id == order_id
            session.execute(update(order_sagas).where(mine).values(attempts=10, sends=12))
        answer = run("replay", message_id)
        assert (answer.exit_code, answer.output) == (0, f"{message_id}: replayed\n")
        (row,) = sent(sessions)
        assert (row.task, row.alone, row.links) == (RESERVE, True, LINKS)
        assert row.bundle == [{"order_id": str(order_id), "kind": "place", "no": 0}]
        assert state(sessions, message_id) == ("replayed", "ada", None)
        with transaction(sessions) as session:
            order = session.execute(select(orders).where(orders.c.id == order_id)).one()
            saga = session.execute(select(order_sagas).where(mine)).one()
            kinds = session.execute(select(order_events.c.kind).where(order_events.c.order_id == order_id)).scalars()
            assert "replayed" in list(kinds)
        assert not order.needs_attention
        assert (saga.attempts, saga.sends, saga.last_error) == (0, 0, None)

    def test_of_the_same_message_again_does_nothing_and_says_so(self, sessions: sessionmaker[Session]) -> None:
        message_id = keep(sessions, place(sessions))
        run("replay", message_id)
        sent(sessions)
        answer = run("replay", message_id)
        assert answer.exit_code == 0
        assert f"{message_id}: was replayed by ada at " in answer.output
        assert sent(sessions) == []

    def test_sends_a_message_that_came_back(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        message_id = keep(sessions, order_id)
        run("replay", message_id)
        keep(sessions, order_id, message_id=message_id)
        sent(sessions)
        assert run("replay", message_id).exit_code == 0
        assert len(sent(sessions)) == 1

    def test_stays_on_record_when_the_message_comes_back_and_waits_again(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        message_id = keep(sessions, order_id)
        run("replay", message_id)
        keep(sessions, order_id, message_id=message_id)
        run("drop", message_id, "--reason", "it is no use", "--actor", "bob")
        keep(sessions, order_id, message_id=message_id)
        assert state(sessions, message_id) == ("waiting", None, None)
        shown = json.loads(run("show", message_id, "--json").output)
        done = [(each["action"], each["actor"], each["reason"]) for each in shown["actions"]]
        assert done == [("replayed", "ada", None), ("dropped", "bob", "it is no use")]
        assert "dropped by bob, it is no use" in run("show", message_id).output

    @pytest.mark.parametrize(
        ("different", "why"),
        [
            ({"task": "inventory.unheard_of"}, "there is no task inventory.unheard_of"),
            ({"body": {"bundle": [{}], "links": [{"task": "x.y"}]}}, "there is no task x.y"),
            ({"body": {"bundle": [{}], "links": [None]}}, "there is no task None"),
            ({"body": {"bundle": [7], "links": []}}, "it carries no orders"),
            ({"body": {"text": "no message at all"}}, "it is not a message to a step"),
            ({"body": "text"}, "it is not a message to a step"),
        ],
    )
    def test_refuses_what_no_step_could_work_on(
        self, sessions: sessionmaker[Session], different: dict[str, Any], why: str
    ) -> None:
        message_id = keep(sessions, **different)
        answer = run("replay", message_id)
        assert (answer.exit_code, why in answer.output) == (1, True)
        assert state(sessions, message_id) == ("waiting", None, None)
        assert sent(sessions) == []

    def test_of_all_goes_on_after_one_that_is_refused(self, sessions: sessionmaker[Session]) -> None:
        bad = keep(sessions, task="inventory.unheard_of")
        good = keep(sessions, place(sessions))
        assert run("replay", "--all").exit_code == 1
        assert (state(sessions, bad)[0], state(sessions, good)[0]) == ("waiting", "replayed")

    def test_asks_which_messages_are_meant(self, databases: object) -> None:
        assert run("replay").exit_code == 2
        assert run("replay", "--all", "x").exit_code == 2

    def test_of_a_message_that_is_not_there_says_so(self, databases: object) -> None:
        answer = run("replay", "nobody")
        assert (answer.exit_code, answer.output) == (1, "There is no message nobody in the quarantine.\n")


class TestDrop:
    def test_stays_on_record_with_who_and_why_and_leaves_the_flag(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        message_id = keep(sessions, order_id)
        answer = run("drop", message_id, "--reason", "a test order", "--actor", "bob")
        told = f"  order {order_id} still needs attention: conveyor order resume {order_id}\n"
        assert (answer.exit_code, answer.output) == (0, f"{message_id}: dropped\n{told}")
        assert state(sessions, message_id) == ("dropped", "bob", "a test order")
        assert sent(sessions) == []
        with transaction(sessions) as session:
            assert session.execute(select(orders.c.needs_attention).where(orders.c.id == order_id)).scalar_one()

    def test_of_a_replayed_message_is_refused_and_changes_nothing(self, sessions: sessionmaker[Session]) -> None:
        message_id = keep(sessions, place(sessions))
        run("replay", message_id)
        answer = run("drop", message_id, "--reason", "too late")
        assert answer.exit_code == 1
        assert f"Message {message_id} was replayed by ada; nothing was done." in answer.output
        assert state(sessions, message_id) == ("replayed", "ada", None)


class TestListAndShow:
    def test_list_shows_what_waits_and_with_all_what_was_settled_too(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        waits, dropped = keep(sessions, order_id), keep(sessions)
        run("drop", dropped, "--reason", "no order")
        shown = run("list").output
        assert waits in shown
        assert str(order_id) in shown
        assert "ValueError: a bad line" in shown
        assert dropped not in shown
        assert dropped in run("list", "--all").output
        (entry,) = json.loads(run("list", "--json").output)
        assert (entry["message_id"], entry["order_id"], entry["state"]) == (waits, str(order_id), "waiting")

    def test_list_says_that_nothing_waits(self, sessions: sessionmaker[Session]) -> None:
        assert run("list").output == "No messages are waiting.\n"

    def test_a_database_that_is_away_is_named_in_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nowhere = read({"CONVEYOR_SALES_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none"})
        monkeypatch.setattr("conveyor.quarantine.target", lambda: nowhere)
        with pytest.raises(SystemExit, match="1"):
            main(["quarantine", "list"])
        said = capsys.readouterr().err
        assert said.startswith("conveyor: sales's database cannot be read")
        assert said.count("\n") == 1

    def test_show_has_everything(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        message_id = keep(sessions, order_id)
        shown = run("show", message_id).output
        for part in (message_id, str(order_id), RESERVE, "delivery.create_delivery", "ValueError: a bad line"):
            assert part in shown
        whole = json.loads(run("show", message_id, "--json").output)
        assert whole["body"]["links"] == LINKS


class TestResume:
    def test_the_flag_goes_and_the_chain_under_way_is_sent_again(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        message_id = keep(sessions, order_id)
        run("drop", message_id, "--reason", "the line was repaired by hand")
        answer = CliRunner().invoke(
            cli, ["order", "resume", str(order_id), "--reason", "repaired"], env={"USER": "ada", "LOGNAME": "ada"}
        )
        assert (answer.exit_code, answer.output) == (0, f"{order_id}: resumed; it is Pending\n")
        with transaction(sessions) as session:
            assert not session.execute(select(orders.c.needs_attention).where(orders.c.id == order_id)).scalar_one()
            noted = session.execute(
                select(order_events.c.actor, order_events.c.reason).where(
                    order_events.c.order_id == order_id, order_events.c.kind == "resumed"
                )
            ).one()
            sent = session.execute(select(outbox.c.task, outbox.c.bundle)).all()
        assert tuple(noted) == ("ada", "repaired")
        assert [task for task, bundle in sent if bundle[0]["order_id"] == str(order_id)] == [
            "inventory.check_availability"
        ]

    def test_says_that_a_message_about_the_order_still_waits(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        message_id = keep(sessions, order_id)
        answer = CliRunner().invoke(cli, ["order", "resume", str(order_id)])
        assert f"A message about it still waits: conveyor quarantine show {message_id}" in answer.output

    def test_an_order_that_has_ended_and_needs_no_attention_is_refused_with_the_reason(
        self, sessions: sessionmaker[Session]
    ) -> None:
        order_id = place(sessions)
        with transaction(sessions) as session:
            session.execute(update(orders).where(orders.c.id == order_id).values(status="Delivered"))
        answer = CliRunner().invoke(cli, ["order", "resume", str(order_id)])
        assert answer.exit_code == 1
        assert "is Delivered and needs no attention: there is nothing to resume" in str(answer.exception)
        with transaction(sessions) as session:
            kinds = session.execute(select(order_events.c.kind).where(order_events.c.order_id == order_id)).scalars()
            assert list(kinds) == ["placed"]

    def test_an_order_that_does_not_exist_is_named(self, sessions: sessionmaker[Session]) -> None:
        nobody = str(uuid7())
        answer = CliRunner().invoke(cli, ["order", "resume", nobody])
        assert nobody in str(answer.exception)


class TestCompensate:
    def give_up(self, order_id: UUID) -> Result:
        arguments = ["order", "compensate", str(order_id), "--reason", "told by telephone"]
        return CliRunner().invoke(cli, arguments, env={"USER": "ada", "LOGNAME": "ada"})

    def test_brings_a_flagged_order_under_its_cancel_chain_and_is_safe_to_repeat(
        self, sessions: sessionmaker[Session]
    ) -> None:
        order_id = place(sessions)
        keep(sessions, order_id)
        for _ in range(2):
            answer = self.give_up(order_id)
            assert (answer.exit_code, answer.output) == (0, f"{order_id}: given up; it is Cancelling\n")
        assert [row.task for row in sent(sessions)] == ["delivery.cancel_delivery"]
        with transaction(sessions) as session:
            columns = (order_events.c.actor, order_events.c.reason)
            mine = order_events.c.order_id == order_id, order_events.c.kind == "compensate_requested"
            noted = session.execute(select(*columns).where(*mine)).all()
            assert not session.execute(select(orders.c.needs_attention).where(orders.c.id == order_id)).scalar_one()
        assert [tuple(each) for each in noted] == [("ada", "told by telephone")] * 2

    def test_is_refused_with_what_is_allowed_once_the_parcel_has_left(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        with transaction(sessions) as session:
            session.execute(update(orders).where(orders.c.id == order_id).values(status="In Transit"))
        answer = self.give_up(order_id)
        assert answer.exit_code == 1
        assert "In Transit cannot become Cancelled; allowed: Delivered or Delivery Failed" in str(answer.exception)

    def test_of_a_cancelled_order_does_nothing_and_says_so(self, sessions: sessionmaker[Session]) -> None:
        order_id = place(sessions)
        with transaction(sessions) as session:
            session.execute(update(orders).where(orders.c.id == order_id).values(status="Cancelled"))
        answer = self.give_up(order_id)
        assert (answer.exit_code, answer.output) == (0, f"{order_id}: nothing was done; it was Cancelled\n")

    def test_wants_a_reason(self, databases: object) -> None:
        answer = CliRunner().invoke(cli, ["order", "compensate", str(uuid7())])
        assert (answer.exit_code, "--reason" in answer.output) == (2, True)
