"""Test the commands for failed notifications: explain, failures, redrive."""

import asyncio
import re

import pytest

from tests.api_tenants import ApiTenant
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def failed(api_tenant: ApiTenant) -> list[str]:
    """Send three notifications to a refusing address, and correct the address."""
    await api_tenant.put_type("hello", ["email"])
    await api_tenant.put_type("bye", ["email"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com")
    ids = await asyncio.gather(*(api_tenant.send(notification_type) for notification_type in ("hello", "hello", "bye")))
    for id in ids:
        await api_tenant.wait_for_end(id, "FAILED")
    await api_tenant.put_recipient("ada", email="ada@example.com")
    return ids


async def test_explain_prints_one_account_line_by_line(terminal: Terminal, failed: list[str]) -> None:
    out = await terminal.ok("explain", failed[0][-12:])
    summary, *lines, last = out.splitlines()
    assert summary == "FAILED: it reached the recipient by no channel (email: the provider refuses this recipient)."
    assert last == failed[0]
    lines_without_times = [re.sub(r"^\d\d:\d\d:\d\d\.\d{3}  ", "", line) for line in lines]
    assert lines_without_times[0] == "Accepted as hello (version 1 of the type), priority 3."
    assert "email, attempt 1: sandbox refused this recipient (refused_recipient)." in lines_without_times


async def test_failures_are_counted_and_filtered(terminal: Terminal, failed: list[str]) -> None:
    first, second = (await terminal.ok("failures")).splitlines()
    assert first.split() == ["2", first.split()[1], "FAILED", "hello", "email", "refused_recipient", max(failed[:2])]
    assert second.split()[-1] == failed[2]
    [alone] = (await terminal.ok("failures", "--type", "bye")).splitlines()
    assert alone.split()[2:] == second.split()[2:]
    assert await terminal.ok("failures", "--channel", "sms") == ""


async def test_redrive_sends_one_notification_or_refuses_with_a_reason(
    terminal: Terminal, api_tenant: ApiTenant, failed: list[str]
) -> None:
    assert await terminal.ok("redrive", failed[0]) == "redriven as generation 2\n"
    await api_tenant.wait_for_end(failed[0], "DELIVERED")
    result = await terminal.tocsin("redrive", failed[0], "--force")
    assert (result.code, result.out, result.err) == (1, "", "tocsin: not redriven: already_sent; it is DELIVERED\n")


async def test_redrive_by_filter_can_be_tried_first(
    terminal: Terminal, api_tenant: ApiTenant, failed: list[str]
) -> None:
    assert await terminal.ok("redrive", "--type", "hello", "--dry-run") == (
        "2 matched, 2 would be redriven, 0 skipped\n"
    )
    assert await terminal.ok("redrive", "--type", "hello") == "2 matched, 2 redriven, 0 skipped\n"
    for id in failed[:2]:
        await api_tenant.wait_for_end(id, "DELIVERED")
    assert (await api_tenant.notification(failed[2]))["status"] == "FAILED"


async def test_a_skipped_notification_is_named(terminal: Terminal, api_tenant: ApiTenant, failed: list[str]) -> None:
    await api_tenant.engine.sql("UPDATE notification SET status = 'IN_DOUBT' WHERE id = :id", id=failed[2])
    out = await terminal.ok("redrive", "--recipient", "ada", "--from", "2026-01-01T00:00:00Z", "--dry-run")
    assert out == f"3 matched, 2 would be redriven, 1 skipped\n{failed[2]}  in_doubt\n"
    forced = await terminal.ok("redrive", "--reason", "email: refused", "--force", "--dry-run")
    assert forced == "3 matched, 3 would be redriven, 0 skipped\n"


@pytest.mark.parametrize("arguments", [(), ("some-id", "--type", "hello"), ("some-id", "--dry-run"), ("--force",)])
async def test_redrive_requires_a_selection(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    result = await terminal.tocsin("redrive", *arguments)
    assert result.code == 2
    assert result.out == ""
