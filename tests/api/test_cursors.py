"""Test that every list of the OpenAPI document answers an edited cursor with 422 or with a page."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest
from httpx2 import Response
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bootstrap import Container
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.apps import openapi_document
from tests.installation_keys import installation_key

pytestmark = pytest.mark.postgres

DOCUMENT = openapi_document()
LISTS = sorted(
    path
    for path, methods in DOCUMENT["paths"].items()
    if any(parameter["name"] == "cursor" for parameter in methods.get("get", {}).get("parameters", []))
)
PLACES = {"{name}": "shipped", "{key}": "shop"}
ID = "0198c3a2-7b1c-7000-8000-000000000001"
TIME = "2026-03-01T09:00:00+00:00"
# Edited parts of a cursor: times, ids, counts, types, statuses and texts.
PARTS = [
    TIME,
    "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59.999999-23:59",
    "9999-12-31T23:59:59.999999+00:00",
    "2026-03-01T09:00:00",
    "2026-03-01T09:00:00+24:00",
    "2026-03-01T09:00:00+00:00:00.000001",
    "20260301T090000Z",
    "2026-W09-7T09:00:00+00:00",
    "99999-01-01T00:00:00+00:00",
    "-0001-01-01T00:00:00+00:00",
    "infinity",
    "-infinity",
    "1e999",
    "NaN",
    "٣",
    "²",
    "9" * 17,
    "9" * 18,
    "9" * 30,
    "-1",
    "",
    " ",
    "\x1f",
    "\x00",
    ID,
    ID.upper(),
    f"{{{ID}}}",
    f"urn:uuid:{ID}",
    ID.replace("-", ""),
    "x" * 700,
    "FAILED",
    "email",
    "en",
    "'; DROP TABLE notification; --",
    "\ufffe\U0010ffff",
]
SEPARATORS = [" ", "\x1f", ""]


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def joined(container: list[str], separator: str) -> str:
    return encoded(separator.join(container).encode())


EDITED = st.one_of(
    st.builds(joined, st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=5), st.sampled_from(SEPARATORS)),
    st.binary(max_size=40).map(encoded),
    st.text(max_size=20),
)


async def asked(api_tenant: ApiTenant, path: str, cursor: str, operator: str) -> Response:
    """Request a page. `operator` is the key for lists that need the scope operate."""
    operates = DOCUMENT["paths"][path]["get"]["x-scope"] == "operate"
    headers = {"Authorization": f"Bearer {operator}"} if operates else {}
    query: dict[str, Any] = {"cursor": cursor}
    for parameter in DOCUMENT["paths"][path]["get"]["parameters"]:
        if parameter["in"] == "query" and parameter["required"]:
            query[parameter["name"]] = "ada"
    for name, value in PLACES.items():
        path = path.replace(name, value)
    return await api_tenant.http.get(path.removeprefix("/api/v1"), params=query, headers=headers)


@pytest.fixture
async def operator(container: Container) -> str:
    return await installation_key(container.database)


@pytest.fixture
async def stocked(api_tenant: ApiTenant) -> ApiTenant:
    """Create the template and the endpoint whose lists are requested."""
    await api_tenant.add_template("shipped", "sms")
    endpoint = {"url": "https://shop.example.com/hooks", "events": ["notification.failed"]}
    assert (await api_tenant.put("/event-endpoints/shop", endpoint)).status_code == 201
    return api_tenant


def test_lists_are_found_in_the_document() -> None:
    assert len(LISTS) >= 12


@given(cursor=EDITED)
@example(joined(["0001-01-01T00:00:00+23:59", ID], " "))
@example(joined(["9999-12-31T23:59:59.999999-23:59", ID], " "))
@example(joined(["9" * 17, "order.shipped", "FAILED", "x" * 700], "\x1f"))
@example(joined(["x" * 700, "email", "en"], "\x1f"))
@example(encoded(b"\xed\xa0\x80"))
@example("")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_an_edited_cursor_is_no_bug(stocked: ApiTenant, operator: str, cursor: str) -> None:
    for path in LISTS:
        response = await asked(stocked, path, cursor, operator)
        assert response.status_code in (200, 422), (path, cursor, response.text)
        if response.status_code == 422:
            assert list(validation_errors(response)) == ["cursor"]
