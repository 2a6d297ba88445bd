"""Test the commands that show what happened (show, tail, audit): their lines, columns, filters and new entries."""

import json
import re
import signal
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import pytest

from commands.client import ApiClient
from commands.tail import Tail
from models.notifications import Event
from tests.api_tenants import ApiTenant
from tests.cli.terminal import TOCSIN, Terminal, one_line
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def test_audit_lists_changes_as_lines_or_as_json(terminal: Terminal, hello: None) -> None:
    newest, *older = (await terminal.ok("audit", "--since", "2026-01-01T00:00:00Z")).splitlines()
    when, who, action, subject, after = newest.split("  ")
    assert re.fullmatch(r"key test [0-9a-f-]{36}", who), when
    assert (action, subject) == ("notification_type.saved", "notification_type/hello")
    assert json.loads(after)["route"][0]["channels"] == ["email"]
    actor = who.split()[-1]
    filters = ("--action", action, "--object", subject, "--actor", actor)
    [entry] = map(json.loads, (await terminal.ok("audit", "--json", *filters)).splitlines())
    assert (entry["action"], entry["actor"]["id"]) == (action, actor)
    assert await terminal.ok("audit", "-n", "1") == f"{newest}\n"
    assert await terminal.ok("audit", "--before", entry["at"]) == "".join(f"{line}\n" for line in older)


async def test_show_prints_the_timeline(terminal: Terminal, api_tenant: ApiTenant, hello: None) -> None:
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("hello")
    await api_tenant.wait_for_status(id, "DELIVERED")
    out = await terminal.ok("show", id)
    assert "  email    DELIVERED  sandbox   hello v1 en  1 attempt" in out
    assert re.findall(r"^\d\d:\d\d:\d\d\.\d{3}  (\w+)", out, re.MULTILINE) == [
        "accepted",
        "rendered",
        "sent",
        "delivered",
    ]


async def test_columns_stand_below_one_another_and_no_line_ends_in_blanks(
    terminal: Terminal, api_tenant: ApiTenant
) -> None:
    await api_tenant.put_type("both", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+throttle@example.com", phone="+447700900142")
    id = await api_tenant.send("both")
    shown = await api_tenant.wait_for_status(id, "DELIVERED")
    for out in (await terminal.ok("show", id), await terminal.ok("tail")):
        assert [line for line in out.splitlines() if line != line.rstrip()] == []
        assert "attempt_not_accepted email    throttled" in out
        assert "rendered             email    rule=" in out
    assert shown["status"] == "DELIVERED"


async def test_show_finds_a_notification_by_the_end_that_tail_prints(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    await api_tenant.put_recipient("ada", email="ada@example.com")
    ids = [await api_tenant.send("hello") for _ in range(2)]
    for id in ids:
        await api_tenant.wait_for_status(id, "DELIVERED")
    [end] = set(re.findall(r"^\S+  (\w+)  hello", await terminal.ok("tail", "-n", "1"), re.MULTILINE))
    assert f"\n{ids[1]}\n" in await terminal.ok("show", end)
    line = await one_line(await terminal.tocsin("show", "zzzzzz"))
    assert line == "tocsin: none of the newest 100 notifications has an id that ends in zzzzzz; give the complete id"
    line = await one_line(await terminal.tocsin("show", ""))
    assert line == f"tocsin: several notifications end in : {ids[1]}, {ids[0]}"


async def test_tail_prints_entries_in_order_and_filters_on_request(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    await api_tenant.put_type("bye", ["email"])
    for recipient_id, notification_type in (("ada", "hello"), ("bob", "bye")):
        await api_tenant.put_recipient(recipient_id, email=f"{recipient_id}@example.com")
        await api_tenant.wait_for_status(await api_tenant.send(notification_type, recipient_id), "DELIVERED")
    lines = (await terminal.ok("tail")).splitlines()
    assert len(lines) == 8
    assert "hello to ada" in lines[0]
    assert lines == sorted(lines, key=lambda line: line[:12])
    for option in (("--recipient", "bob"), ("--type", "bye")):
        some = (await terminal.ok("tail", *option)).splitlines()
        assert [line for line in some if "bye to bob" not in line] == []
        assert len(some) == 4


async def test_tail_prints_new_entries(terminal: Terminal, api_tenant: ApiTenant, hello: None) -> None:
    async def printed() -> str:
        return log.read_text() if log.exists() else ""

    log = terminal.folder / "tail.log"
    process = await terminal.start("sh", "-c", f"exec {TOCSIN} tail -f > {log}")
    try:
        await api_tenant.put_recipient("ada", email="ada@example.com")
        for count in (1, 2):
            await api_tenant.wait_for_status(await api_tenant.send("hello"), "DELIVERED")
            seen = await eventually(printed, partial(mentions_count, count))
            assert seen.count("accepted") == count
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130


async def test_tail_prints_more_new_entries_than_its_initial_limit(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    printed: list[str] = []
    await api_tenant.put_recipient("ada", email="ada@example.com")
    tail = Tail(ApiClient(api_tenant.http), lambda one, entry: printed.append(f"{one['id']} {entry['kind']}"))
    first = await api_tenant.send("hello")
    await tail.print_latest(1)
    ids = [await api_tenant.send("hello") for _ in range(5)]
    for id in ids:
        await api_tenant.wait_for_status(id, "DELIVERED")
    await tail.poll()
    await tail.poll()
    assert {line for line in printed if line.endswith(" delivered")} >= {f"{id} delivered" for id in ids}
    assert len(set(printed)) == len(printed)
    assert f"{first} delivered" in printed


async def test_tail_prints_an_entry_without_a_status_change(api_tenant: ApiTenant, hello: None) -> None:
    printed: list[str] = []
    await api_tenant.put_recipient("ada", email="ada@example.com")
    tail = Tail(ApiClient(api_tenant.http), lambda one, entry: printed.append(entry["kind"]))
    id = await api_tenant.send("hello")
    await api_tenant.wait_for_status(id, "DELIVERED")
    await tail.print_latest(1)
    async with api_tenant.engine.container.database.transaction() as session:
        note = Event(
            id=uuid4(), tenant=api_tenant.tenant, notification_id=UUID(id), at=datetime.now(UTC), kind="clicked"
        )
        session.add(note)
    await tail.poll()
    assert printed[-1] == "clicked"


def mentions_count(count: int, text: str) -> bool:
    return text.count("DELIVERED") == count
