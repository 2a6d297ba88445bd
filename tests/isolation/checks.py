"""Define the rules that every operation must obey. They raise AssertionError."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from httpx2 import AsyncClient, Response

from domain.json_types import Json
from tests.isolation.operations import Operation, Pointer, slots, templates
from tests.isolation.resource_types import OwnerTenant, ResourceType
from tests.isolation.routes import RouteExample
from tests.isolation.tenants import UUIDS, ForeignTenant, new_mark

# What differs between two equivalent responses: ids, times, secrets and ids of workflows.
VOLATILE = (
    UUIDS,
    re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"),
    re.compile(r"whsec_[\w+/=]+"),
    re.compile(r"tk_[a-z]+_[\w-]+"),
    re.compile(r"digest-[0-9a-f]{32}"),
)


async def check_foreign_ids(
    operation: Operation, route: RouteExample, one: OwnerTenant, other: OwnerTenant, foreign: ForeignTenant
) -> None:
    """Check that an id of another tenant is answered like an unknown one, at every position. `one` and `other` are in
    the same state, and stay in it."""
    places = {
        pointer: (template, resource_type)
        for template in templates(route)
        for pointer, resource_type in slots(template)
    }
    absent = {
        resource_type: absent_like(await foreign.first.own(resource_type), foreign)
        for _, resource_type in places.values()
    }
    for pointer, (template, resource_type) in places.items():
        given = await foreign.first.own(resource_type)
        first = await ask(one, operation, template, pointer, given)
        second = await ask(other, operation, template, pointer, absent[resource_type])
        place = f"{operation}, {'.'.join(map(str, pointer))}"
        shown, expected = seen(first, given), seen(second, absent[resource_type])
        assert shown == expected, f"{place}: a foreign id is not answered as an absent one: {shown}, {expected}"
        assert not foreign.shown_in(first.text, given), f"{place}: the response shows what another tenant has"


async def check_own_requests(
    operation: Operation, route: RouteExample, one: OwnerTenant, foreign: ForeignTenant
) -> None:
    """Check that the table's requests are valid, and show and change nothing of another tenant."""
    for template in templates(route):
        response = await ask(one, operation, template)
        assert response.is_success, f"{operation}: the request of the table is refused: {response.text}"
        assert not foreign.shown_in(response.text), f"{operation}: the response shows what another tenant has"
    if operation.writes:
        one.made.clear()
        assert await foreign.is_unchanged(), f"{operation} changed another tenant"


async def check_cursor(operation: Operation, route: RouteExample, one: OwnerTenant, foreign: ForeignTenant) -> None:
    """Check that a cursor of another tenant's list only selects a position in the caller's own list."""
    [template] = templates(route)
    page = (await ask(foreign.first, operation, template, limit=1)).json()
    assert page["next_cursor"], f"{operation}: the foreign tenant must have two items in this list"
    response = await ask(one, operation, template, cursor=page["next_cursor"])
    assert response.status_code == 200, f"{operation}: {response.text}"
    assert not foreign.shown_in(response.text), f"{operation}: a cursor leads to what another tenant has"


async def check_keys(operation: Operation, anonymous: AsyncClient, others: AsyncClient, holder: AsyncClient) -> None:
    """Check for 401 without a key and with an unknown one, 403 with all scopes but the needed one, and neither with
    that scope alone."""
    statuses = [
        (await call(anonymous, operation)).status_code,
        (await call(anonymous, operation, Authorization="Bearer tk_live_wrong")).status_code,
        (await call(others, operation)).status_code,
    ]
    assert statuses == [401, 401, 403], str(operation)
    assert (await call(holder, operation)).status_code not in (401, 403), (
        f"{operation}: {operation.scope} is not enough"
    )


async def call(http: AsyncClient, operation: Operation, **headers: str) -> Response:
    """Call the operation with unknown ids and without a body."""
    path = re.sub(r"{\w+}", lambda _: str(uuid4()), operation.path)
    return await http.request(operation.method, path, headers=headers)


async def ask(
    owner: OwnerTenant, operation: Operation, template: Json, pointer: Pointer = (), value: str = "", **query: Any
) -> Response:
    """Send the table's request with the owner's own ids, but `value` at `pointer`."""
    kept = operation.required | {step for step in pointer if isinstance(step, str)}
    optional = {place: {n: v for n, v in template[place].items() if n in kept} for place in ("query", "headers")}
    filled = await _filled(owner, {**template, **optional}, pointer, value)
    return await owner.http.request(
        operation.method,
        operation.path.format(**filled["path"]),
        params=filled["query"] | query,
        headers=filled["headers"],
        json=filled["body"],
    )


async def _filled(owner: OwnerTenant, node: Any, pointer: Pointer, value: str, here: Pointer = ()) -> Any:
    if isinstance(node, ResourceType):
        return value if here == pointer else await owner.own(node)
    if isinstance(node, Mapping):
        return {name: await _filled(owner, child, pointer, value, (*here, name)) for name, child in node.items()}
    if isinstance(node, list):
        return [await _filled(owner, child, pointer, value, (*here, index)) for index, child in enumerate(node)]
    return node


def absent_like(id: str, foreign: ForeignTenant) -> str:
    """Return an id or name of the same form that no tenant has."""
    return str(uuid4()) if UUIDS.fullmatch(id) else UUIDS.sub(str(uuid4()), id).replace(foreign.mark, new_mark())


def seen(response: Response, given: str) -> tuple[int, str]:
    """Return what a caller sees, without the request id and what differs in every response."""
    body = response.text.replace(given, "GIVEN")
    for pattern in VOLATILE:
        body = pattern.sub("VOLATILE", body)
    return response.status_code, body
