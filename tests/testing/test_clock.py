"""Test that the three clocks move together and are restored."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from commands.client import ApiError
from commands.errors import CommandError
from domain.names import workflow_id
from testing.clock import NothingScheduled
from testing.installation import LocalInstallation
from testing.tocsin import NoSandboxMessage, Tocsin, open_tenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

EXAMPLE = Path(__file__).parents[2] / "examples" / "testing"
INVOICE = {"invoice": "4711", "amount": "99 EUR"}
CLOSE = timedelta(seconds=2)


@pytest.fixture
def shop(tocsin: Tocsin) -> Tocsin:
    tocsin.apply(EXAMPLE)
    tocsin.put_recipient("ada", email="ada+silent@example.com", phone="+447700900123")
    return tocsin


def remind(shop: Tocsin, **more: Any) -> str:
    return shop.send("payment-reminder", "ada", INVOICE, **more)


async def clocks(stage: LocalInstallation, *ids: str) -> list[datetime]:
    """Return Postgres' two clocks, and that of each of these workflows."""
    async with stage.container.database.transaction() as session:
        times = (await session.execute(text("SELECT now(), clock_timestamp()"))).one()
    skipper = stage.workflows.skipper
    handles = [stage.workflows.client.get_workflow_handle(workflow_id(UUID(id), 1)) for id in ids]
    return [*times, *[await skipper.get_current_time(handle) for handle in handles]]


def ahead(stage: LocalInstallation, tocsin: Tocsin, *ids: str) -> timedelta:
    """Return how far all clocks are ahead. Fail if one differs. Reading them takes time."""
    first = tocsin.now()
    seen = stage.run(clocks(stage, *ids))
    assert all(first - CLOSE < clock < tocsin.now() + CLOSE for clock in seen)
    return tocsin.now() - datetime.now(UTC)


def test_all_clocks_are_equally_far_ahead_including_later_workflows(
    tocsin_installation: LocalInstallation, shop: Tocsin
) -> None:
    early = remind(shop)
    shop.settle()
    assert abs(ahead(tocsin_installation, shop, early)) < CLOSE
    shop.advance(days=1)
    late = remind(shop)
    shop.settle()
    assert abs(ahead(tocsin_installation, shop, early, late) - timedelta(days=1)) < CLOSE
    shop.advance(days=1)
    assert abs(ahead(tocsin_installation, shop, early, late) - timedelta(days=2)) < CLOSE


def test_a_later_test_begins_at_the_machines_time(tocsin_installation: LocalInstallation, shop: Tocsin) -> None:
    remind(shop)
    shop.advance(days=10)
    with open_tenant(tocsin_installation) as other:
        assert abs(ahead(tocsin_installation, other)) < CLOSE
        other.advance(days=3)
    assert abs(ahead(tocsin_installation, shop)) < CLOSE


def test_two_ticks_at_the_same_time_are_two_workflows(tocsin_installation: LocalInstallation, tocsin: Tocsin) -> None:
    for _ in range(2):
        tocsin_installation.run(tocsin_installation.workflows.tick(UUID(int=0), "payment-reminder"))
    assert len([id for id in tocsin_installation.workflows.open_ids if id.startswith("tick-")]) == 2
    tocsin.settle()


def test_waiting_sends_of_one_test_do_not_stop_the_next(tocsin_installation: LocalInstallation, shop: Tocsin) -> None:
    left = remind(shop)
    shop.settle()
    with open_tenant(tocsin_installation) as other:
        other.advance(days=5)
    assert shop.statuses(left) == {"email": "SENT"}


def test_a_skip_moves_to_the_next_moment_and_returns_the_distance(shop: Tocsin) -> None:
    began = datetime.now(UTC)
    id = remind(shop)
    passed = timedelta(days=3) - shop.skip()  # time before the skip, in real time
    assert -CLOSE < passed < datetime.now(UTC) - began + CLOSE
    assert shop.statuses(id) == {"email": "SENT", "sms": "DELIVERED"}
    with pytest.raises(NothingScheduled):
        shop.skip()


def test_nothing_happens_early_while_a_call_is_under_way(shop: Tocsin) -> None:
    """The call takes five real seconds to time out. Until then, the clocks do not move."""
    shop.put_recipient("ada", email="ada+hang@example.com", phone="+447700900123")
    began = datetime.now(UTC)
    id = remind(shop, expires_in="1h")
    shop.advance(seconds=1)
    assert datetime.now(UTC) - began > timedelta(seconds=4)
    [email] = shop.notification(id)["deliveries"]
    assert email["attempts"][0]["outcome"] == "unknown"


def test_the_sandbox_reports_requested_events(shop: Tocsin) -> None:
    id = remind(shop)
    shop.settle()
    for kind, status in (("delivered", "DELIVERED"), ("opened", "OPENED"), ("clicked", "OPENED")):
        shop.report(id, kind)
        assert shop.statuses(id) == {"email": status}
    with pytest.raises(NoSandboxMessage):
        shop.report(id, "delivered", "sms")
    with pytest.raises(ValueError, match="unknown ReceiptKind"):
        shop.report(id, "eaten")


def test_a_bounce_opens_the_next_step(shop: Tocsin) -> None:
    id = remind(shop)
    shop.settle()
    shop.report(id, "bounced")
    assert shop.statuses(id) == {"email": "FAILED", "sms": "DELIVERED"}


def test_wait_for_status_and_the_outbox_need_no_skipping(shop: Tocsin) -> None:
    id = remind(shop)
    assert shop.wait_for_status(id, "SENT")["id"] == id
    assert [message["channel"] for message in shop.outbox(notification_id=id)] == ["email"]
    assert shop.outbox(channel="sms") == []


def test_a_refusal_shows_the_error_of_the_api(shop: Tocsin, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="amount"):
        shop.send("payment-reminder", "ada", {"invoice": "1"})
    with pytest.raises(CommandError, match="neither types/ nor templates/"):
        shop.apply(tmp_path)


def test_a_warning_of_apply_becomes_a_python_warning(tocsin: Tocsin, tmp_path: Path) -> None:
    template = tmp_path / "templates" / "lonely"
    template.mkdir(parents=True)
    (template / "sms.en.txt").write_text("Hello")
    (template / "template.yaml").write_text("variables_schema: {properties: {colour: {type: string}}}")
    with pytest.warns(UserWarning, match="colour"):
        tocsin.apply(tmp_path)
