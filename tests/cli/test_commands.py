import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer

from cli import app
from commands.client import ApiClient
from commands.local_stack import find_running_stack, not_running_error
from commands.tail import Tail
from config import ClientSettings
from dispatch.temporal.connection import connect
from embedded.runfile import RunInfo
from models.notifications import Event
from providers.web_push.vapid import load_private_key, public_key_of
from tests.api_tenants import ApiTenant
from tests.cli.terminal import TOCSIN, CommandResult, Terminal
from tests.polling import eventually
from tests.production import KEY_VARIABLES
from worker import UnknownQueue, build_workers, check_queues

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.fixture
async def hello(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("hello", ["email"])


async def test_send_prints_the_id_alone(terminal: Terminal, api_tenant: ApiTenant, hello: None) -> None:
    id = await terminal.ok("send", "hello", "ada", "--email", "ada@example.com", "--payload", '{"name": "Ada"}')
    assert re.fullmatch(r"[0-9a-f-]{36}\n", id)
    assert (await api_tenant.wait_for_status(id.strip(), "DELIVERED"))["recipient_id"] == "ada"


async def test_a_dry_run_of_a_send_shows_each_channel_and_sends_nothing(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    given = ("send", "hello", "ada", "--email", "ada@example.com", "--payload", '{"name": "Ada"}', "--dry-run")
    first, step, channel = (await terminal.ok(*given)).splitlines()
    assert first == "Dry run, nothing was sent. Decision: send"
    assert step.startswith("step 1 at 20")
    assert channel == "  email: send by sandbox, hello version 1 in en, by rule type.default"
    assert (await api_tenant.call("GET", "/notifications"))["items"] == []
    assert (await terminal.tocsin("send", "hello", "ada", "bob", "--dry-run")).code == 2


async def test_a_dry_run_of_an_sms_shows_its_segments(terminal: Terminal, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["sms"])
    await api_tenant.put_recipient(phone="+447700900123")
    *_, channel = (await terminal.ok("send", "code", "ada", "--payload", '{"name": "Ada"}', "--dry-run")).splitlines()
    assert channel.endswith(", by rule type.default, SMS segments: 1 in gsm7")


async def test_send_to_several_recipients_prints_each_id_and_each_refusal(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    for recipient_id in ("ada", "bob"):
        await api_tenant.put_recipient(recipient_id, email=f"{recipient_id}@example.com")
        await api_tenant.call("PUT", f"/topics/lamps/subscribers/{recipient_id}")
    result = await terminal.tocsin("send", "hello", "ada", "unknown", "bob", "--payload", '{"name": "A"}')
    shown = [await api_tenant.notification(id) for id in result.out.split()]
    assert [one["recipient_id"] for one in shown] == ["ada", "bob"]
    assert (result.code, result.err.startswith("tocsin: unknown: there is no such recipient")) == (1, True)
    out = await terminal.ok("send", "hello", "--topic", "lamps", "--payload", '{"name": "A"}', "--wait")
    assert re.findall(r"^DELIVERED  hello to (\w+)$", out, re.MULTILINE) == ["ada", "bob"]
    for wrong in ((), ("ada", "--topic", "lamps"), ("ada", "bob", "--locale", "de")):
        assert (await terminal.tocsin("send", "hello", *wrong)).code == 2


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


async def test_send_waits_and_prints_the_outcome(terminal: Terminal, api_tenant: ApiTenant, hello: None) -> None:
    await api_tenant.put_recipient("ada", email="ada@example.com")
    terminal.write("payload.json", json.dumps({"name": "Ada"}))
    out = await terminal.ok("send", "hello", "ada", "--payload", "@payload.json", "--wait")
    assert out.startswith("DELIVERED  hello to ada\n")
    assert [word for word in ("accepted", "rendered", "sent", "delivered") if word not in out] == []


async def test_an_unsent_notification_is_exit_code_1_with_a_reason(terminal: Terminal, hello: None) -> None:
    result = await terminal.run(
        *(TOCSIN, "send", "hello", "ada", "--email", "ada+refuse@example.com", "--payload", '{"name": "A"}', "--wait")
    )
    assert result.code == 1
    assert result.out.startswith("FAILED  email: refused")


async def test_the_same_idempotency_key_is_the_same_notification(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    await api_tenant.put_recipient("ada", email="ada@example.com")
    ids = {await terminal.ok("send", "hello", "ada", "--idempotency-key", "once") for _ in range(2)}
    assert len(ids) == 1


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


async def test_send_goes_to_the_channels_that_are_named(terminal: Terminal, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms", "in_app"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900142")
    only = ("--channel", "sms", "--channel", "in_app")
    out = await terminal.ok("send", "both", "ada", "--payload", '{"name": "A"}', *only, "--wait")
    assert re.findall(r"^  (\w+)", out, re.MULTILINE) == ["sms", "in_app"]


async def test_a_wait_that_times_out_prints_its_duration(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    result = await terminal.tocsin("send", "hello", "ada", "--payload", '{"name": "A"}', "--wait", "--timeout", "0.5")
    assert result.code == 1
    assert result.out.startswith("PENDING")
    id = (await api_tenant.call("GET", "/notifications"))["items"][0]["id"]
    assert result.err == f"tocsin: still in progress after 0.5 s; check again with 'tocsin show {id}'\n"
    await api_tenant.cancel(id)


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


def some_tenant() -> str:
    return datetime.now(UTC).strftime("t%H%M%S%f")


async def test_a_key_is_made_in_the_database_and_works_at_once(terminal: Terminal, api_tenant: ApiTenant) -> None:
    tenant = some_tenant()
    made = await terminal.run(TOCSIN, "tenants", "create", tenant)
    assert (made.code, made.out, made.err) == (0, "", "")
    assert tenant in (await terminal.ok("tenants", "list")).splitlines()
    scopes = ("--scope", "read", "--scope", "send")
    key = (await terminal.ok("keys", "create", "--tenant", tenant, "--name", "ci", *scopes)).strip()
    assert re.fullmatch(r"tk_dev_[\w-]{43}", key)
    assert (await terminal.tocsin("tail", TOCSIN_API_KEY=key)).code == 0
    refused = await terminal.tocsin("apply", "examples/shop", TOCSIN_API_KEY=key)
    assert refused.code == 1
    assert "scope" in refused.err


async def test_a_typo_is_no_new_tenant_and_names_those_there_are(terminal: Terminal, api_tenant: ApiTenant) -> None:
    tenant = some_tenant()
    await terminal.ok("tenants", "create", tenant)
    before = await terminal.ok("tenants", "list")
    typo = tenant.replace("t", "tt", 1)
    line = await one_line(await terminal.tocsin("keys", "create", "--tenant", typo, "--name", "n", "--scope", "read"))
    assert line.startswith(f"tocsin: there is no tenant {typo}; existing tenants: ")
    assert line.endswith("; 'tocsin tenants create' creates one")
    named = line.split("; ")[1].removeprefix("existing tenants: ").split(", ")
    there = [line.split()[0] for line in before.splitlines()]
    assert named == [*there[:20], *(["…"] if len(there) > 20 else [])]
    assert await terminal.ok("tenants", "list") == before


async def test_a_tenant_is_created_once_with_a_valid_name(terminal: Terminal, api_tenant: ApiTenant) -> None:
    tenant = some_tenant()
    await terminal.ok("tenants", "create", tenant)
    line = await one_line(await terminal.tocsin("tenants", "create", tenant))
    assert line.startswith(f"tocsin: tenant {tenant} already exists")
    for bad in ("", "a b", "-/x", "a" * 129):
        line = await one_line(await terminal.tocsin("tenants", "create", "--", bad))
        assert line.startswith("tocsin: a tenant key has up to 128 letters")


async def test_the_webhook_secret_is_printed_alone(terminal: Terminal, api_tenant: ApiTenant) -> None:
    result = await terminal.run(TOCSIN, "keys", "webhook-secret")
    assert (result.code, result.out, result.err) == (
        0,
        (await api_tenant.call("GET", "/webhook-secret"))["secret"] + "\n",
        "",
    )


async def test_a_new_key_pair_for_web_push_is_printed_as_settings(terminal: Terminal) -> None:
    outputs = [(await terminal.ok("keys", "vapid")).splitlines() for _ in range(2)]
    for setting, comment in outputs:
        private_key = setting.removeprefix("TOCSIN_WEB_PUSH_PRIVATE_KEY=")
        assert comment.startswith("# ")
        assert comment.endswith(f" {public_key_of(load_private_key(private_key))}")
    assert outputs[0] != outputs[1]


async def one_line(result: CommandResult) -> str:
    assert result.code == 1
    assert result.out == ""
    [line] = result.err.splitlines()
    return line


async def test_errors_are_one_line(terminal: Terminal, hello: None) -> None:
    line = await one_line(await terminal.run(TOCSIN, "send", "nonsense", "ada"))
    assert line.startswith("tocsin: notification_type 'nonsense': ")
    line = await one_line(await terminal.tocsin("send", "hello", "ada", "--payload", "{"))
    assert line.startswith("tocsin: --payload is not JSON")
    line = await one_line(await terminal.tocsin("send", "hello", "ada", "--payload", "@nowhere.json"))
    assert "nowhere.json" in line
    line = await one_line(await terminal.tocsin("show", "0199aaaa-0000-7000-8000-000000000000"))
    assert line == "tocsin: GET /notifications/0199aaaa-0000-7000-8000-000000000000: There is no such notification."
    line = await one_line(await terminal.tocsin("tail", TOCSIN_API_KEY="tk_wrong"))
    assert "The API key is unknown or revoked." in line
    line = await one_line(await terminal.tocsin("tail", TOCSIN_API_URL="http://127.0.0.1:1", TOCSIN_API_KEY="k"))
    assert line == "tocsin: http://127.0.0.1:1/api/v1/ is unreachable (ConnectError)"
    line = await one_line(
        await terminal.tocsin("keys", "create", "--tenant", "t", "--name", "n", "--scope", "everything")
    )
    assert line == "tocsin: unknown scope everything; choose from send, read, manage, operate"


async def test_the_key_of_the_stack_here_goes_to_no_other_url(terminal: Terminal) -> None:
    line = await one_line(await terminal.tocsin("tail", TOCSIN_API_URL="http://127.0.0.1:1"))
    assert line == "tocsin: set TOCSIN_API_KEY to a key of that API; 'tocsin keys create' creates one"


async def test_an_error_without_a_running_stack_names_the_fix(terminal: Terminal, tmp_path: Path) -> None:
    line = await one_line(await terminal.tocsin("tail", TOCSIN_DATA_DIR=str(tmp_path / "none")))
    assert line.startswith(f"tocsin: no stack is running in {tmp_path}/none; start it with 'make run'")


async def test_from_another_directory_the_stack_of_the_checkout_is_found(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("commands.local_stack.CHECKOUT", terminal.folder)
    found = find_running_stack(ClientSettings(_env_file=None))
    assert found == RunInfo.read(terminal.folder / ".tocsin" / "run.json")
    assert find_running_stack(ClientSettings(_env_file=None, data_dir=Path("none"))) is None
    named = str(not_running_error(ClientSettings(_env_file=None)))
    assert named.startswith(f"no stack is running in {elsewhere}/.tocsin or {terminal.folder}/.tocsin; start it")


NOWHERE = {"TOCSIN_DATABASE_URL": "postgresql://127.0.0.1:1/none", "TOCSIN_TEMPORAL_ADDRESS": "127.0.0.1:1"}
TWILIO = {"TOCSIN_SMS_PROVIDERS": "twilio", "TOCSIN_TWILIO_ACCOUNT_SID": "AC1", "TOCSIN_TWILIO_AUTH_TOKEN": "t"}
NO_SENDER = "set either TOCSIN_TWILIO_FROM or TOCSIN_TWILIO_MESSAGING_SERVICE_SID\n"


async def test_a_server_with_invalid_settings_prints_one_line_each(terminal: Terminal, api_tenant: ApiTenant) -> None:
    result = await terminal.tocsin("api", TOCSIN_ENV="dev", **NOWHERE, **TWILIO)
    assert (result.code, result.err) == (2, f"api: {NO_SENDER}")
    result = await terminal.tocsin("worker", TOCSIN_ENV="production", TOCSIN_API_PORT="many", **KEY_VARIABLES)
    assert result.code == 2
    port, secret = result.err.splitlines()
    assert port.startswith("worker: TOCSIN_API_PORT: ")
    assert secret.startswith("worker: TOCSIN_SECRET_KEY must be set")
    there = {"TOCSIN_DATABASE_URL": api_tenant.engine.container.settings.database_url}
    temporal = {"TOCSIN_TEMPORAL_ADDRESS": api_tenant.engine.temporal_address}
    result = await terminal.tocsin("worker", TOCSIN_ENV="dev", **there, **temporal, **TWILIO)
    assert (result.code, result.err) == (2, f"worker: {NO_SENDER}")


async def test_make_run_starts_nothing_with_settings_that_are_wrong(terminal: Terminal) -> None:
    data = terminal.folder / "data"
    result = await terminal.tocsin("dev", TOCSIN_DATA_DIR=str(data), **TWILIO)
    assert (result.code, result.out, result.err) == (1, "", f"tocsin: {NO_SENDER}")
    file = {"TOCSIN_PUSH_PROVIDERS": "fcm", "TOCSIN_FCM_CREDENTIALS_FILE": "nowhere.json"}
    result = await terminal.tocsin("dev", TOCSIN_DATA_DIR=str(data), **file)
    assert result.err == "tocsin: TOCSIN_FCM_CREDENTIALS_FILE: nowhere.json cannot be read\n"
    assert not data.exists()


async def test_a_worker_serves_the_queues_that_are_named(api_tenant: ApiTenant) -> None:
    container = api_tenant.engine.container
    client = await connect(api_tenant.engine.temporal_address, "default", lazy=False)
    for queues in (["deliver-sandbox"], ["notifications", "deliver-in_app"]):
        assert [one.task_queue for one in build_workers(container, client, queues)] == queues


async def test_an_unknown_queue_is_an_error_that_names_valid_queues(
    terminal: Terminal,
) -> None:
    async with asyncio.timeout(60):
        result = await terminal.tocsin("worker", "--queue", "deliver-pigeon", TOCSIN_ENV="dev", **NOWHERE)
    assert result.code == 2
    assert result.err == (
        "worker: there is no queue deliver-pigeon; choose from notifications, deliver-in_app, deliver-sandbox\n"
    )


def test_the_queues_that_may_be_named_are_those_that_are_served(api_tenant: ApiTenant) -> None:
    container = api_tenant.engine.container
    served = ["notifications", *(f"deliver-{name}" for name in container.providers)]
    check_queues(container.settings, served)
    for queue in ("deliver-twilio", "", "Notifications"):
        with pytest.raises(UnknownQueue, match="choose from " + ", ".join(served)):
            check_queues(container.settings, [queue])


def list_commands(command: Any) -> Iterator[Any]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from list_commands(child)


def test_every_value_in_the_help_of_a_command_has_a_name_in_capitals() -> None:
    parameters = [one for command in list_commands(typer.main.get_command(app)) for one in command.params]
    values = [one for one in parameters if not getattr(one, "is_flag", False)]
    assert len(values) > 30
    assert [one.name for one in values if not re.fullmatch("[A-Z]+", one.metavar or "")] == []


def test_commands_of_the_api_load_no_library_of_the_servers() -> None:
    """Importing one of these libraries takes as long as all other imports of such a command."""
    code = "import sys, cli; print(*{'alembic', 'fastapi', 'sqlalchemy', 'temporalio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
