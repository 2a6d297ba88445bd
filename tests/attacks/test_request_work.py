"""Send bodies within the byte limit that cost much work per byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from tests.api_tenants import ApiTenant
from tests.attacks.attack_monitor import JSON, AttackMonitor

pytestmark = pytest.mark.postgres

SEND, BATCH = "/notifications/send", "/notifications/send-batch"
BODY, LARGE = 256 * 1024, 8 * 1024 * 1024


@pytest.fixture
async def sender(attacker: ApiTenant) -> AsyncClient:
    """Return the client of a tenant with a type `news` and a recipient `ada`."""
    await attacker.put_type("news", ["sms"])
    await attacker.put_recipient()
    return attacker.http


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def send(**fields: Any) -> dict[str, Any]:
    return {"notification_type": "news", "recipient_id": "ada", **fields}


def filled(start: bytes, piece: bytes, end: bytes, size: int) -> bytes:
    """Return as many pieces, separated by commas, as fit into `size` bytes."""
    count = (size - len(start) - len(end)) // (len(piece) + 1)
    return start + b",".join([piece] * count) + end


def in_payload(piece: bytes, size: int) -> bytes:
    """Return a send whose payload is a list of pieces."""
    return filled(compact(send())[:-1] + b',"payload":{"x":[', piece, b"]}}", size)


async def attack(
    attack_monitor: AttackMonitor, client: AsyncClient, path: str, body: bytes, method: str = "POST"
) -> Response:
    [response] = await attack_monitor.attack(client.request(method, path, content=body, headers=JSON))
    return response


# Bodies are built when they are sent: together they are 100 MB.
ATTACKS: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "a batch of empty arrays": (BATCH, lambda: filled(b'{"items":[', b"[]", b"]}", LARGE), 413),
    "an item of empty arrays": (BATCH, lambda: b'{"items":[' + in_payload(b"[]", LARGE - 16) + b"]}", 413),
    "an item of ones": (BATCH, lambda: b'{"items":[' + in_payload(b"1", LARGE - 16) + b"]}", 413),
    "a send of ones": (SEND, lambda: in_payload(b"1", BODY), 413),
    "nested arrays": (BATCH, lambda: b'{"items":' + b"[" * (LARGE // 2 - 10) + b"]" * (LARGE // 2 - 10) + b"}", 413),
    "nested objects": (BATCH, lambda: b'{"a":' * 99_000 + b"1" + b"}" * 99_000, 400),
    "a number of millions of digits": (BATCH, lambda: b'{"items":[' + b"9" * (LARGE - 20) + b"]}", 400),
    "numbers of 4,000 digits": (BATCH, lambda: filled(b'{"items":[', b"9" * 4_000, b"]}", LARGE), 400),
    "numbers with long fractions": (SEND, lambda: in_payload(b"0." + b"3" * 390, BODY), 202),
    "a string of commas": (BATCH, lambda: b'{"items":["' + b"," * (LARGE - 20) + b'"]}', 422),
    "a payload of commas": (SEND, lambda: compact(send(payload={"x": "," * 250_000})), 202),
    "escaped quotes and commas": (BATCH, lambda: b'{"items":["' + b'\\",[' * (LARGE // 4 - 10) + b'"]}', 422),
    "nothing but quotes": (BATCH, lambda: b'"' * LARGE, 400),
    "nothing but commas": (BATCH, lambda: b"," * LARGE, 413),
    "escaped letters": (BATCH, lambda: b'{"items":["' + b"\\u0041" * (LARGE // 6 - 10) + b'"]}', 422),
    "unknown fields": (SEND, lambda: compact({f"f{i}": 0 for i in range(19_000)}), 422),
    "repeated channels": (SEND, lambda: compact(send(channels=["sms"] * 19_000)), 422),
    "unknown channels": (SEND, lambda: compact(send(channels=["x"] * 19_000)), 422),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_the_api_stays_responsive_during(attack_monitor: AttackMonitor, sender: AsyncClient, name: str) -> None:
    path, body, status = ATTACKS[name]
    response = await attack(attack_monitor, sender, path, body())
    assert response.status_code == status, response.text[:500]
    assert len(response.content) < 64 * 1024


async def test_the_api_stays_responsive_during_many_preferences(
    attack_monitor: AttackMonitor, sender: AsyncClient
) -> None:
    types = {f"type {index}": {"sms": 1} for index in range(9_000)}
    body = compact({"type_channel_preferences": types})
    response = await attack(attack_monitor, sender, "/recipients/ada/preferences", body, "PUT")
    assert response.status_code == 422
    assert len(response.json()["errors"]) <= 50


async def test_the_api_stays_responsive_during_1000_invalid_items(
    attack_monitor: AttackMonitor, sender: AsyncClient
) -> None:
    item = {f"unknown {index}": 0 for index in range(60)} | {"tags": [0] * 20}
    response = await attack(attack_monitor, sender, BATCH, compact({"items": [item] * 1_000}))
    assert response.status_code == 202
    listed = [len(item["errors"]) for item in response.json()["items"]]
    assert max(listed) == 50
    assert sum(listed) <= 2_000


async def test_the_api_stays_responsive_during_concurrent_full_batches(
    attack_monitor: AttackMonitor, sender: AsyncClient
) -> None:
    values = [[index / 7] for index in range(44)]
    body = compact({"items": [send(payload={"values": values, "text": "x" * 6_000})] * 1_000})
    assert len(body) < LARGE
    sends = [sender.post(BATCH, content=body, headers=JSON) for _ in range(4)]
    for response in await attack_monitor.attack(*sends):
        assert response.status_code == 202
        assert {item["status"] for item in response.json()["items"]} == {202}


async def test_the_api_stays_responsive_during_concurrent_refused_batches(
    attack_monitor: AttackMonitor, sender: AsyncClient
) -> None:
    body = filled(b'{"items":[', b"[]", b"]}", 299_000)
    sends = [sender.post(BATCH, content=body, headers=JSON) for _ in range(8)]
    assert {response.status_code for response in await attack_monitor.attack(*sends)} == {422}
