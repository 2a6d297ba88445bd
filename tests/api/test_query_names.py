"""Test that every route rejects undeclared query parameters, so that no filter is ignored."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.paging import PagingDep
from api.query_names import ISSUE_LIMIT, MAX_NAME_LENGTH, declared_names, find_query_issues
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.apps import openapi_document

DOCUMENT = openapi_document()
# Vendors add their own parameters to callback URLs.
LENIENT = {("POST", "/api/v1/receipts/{provider}")}
ROUTES = sorted(
    (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path.startswith("/api")
)
UNKNOWN = "is not a parameter of this request"
ID = "0198c3a2-7b1c-7000-8000-000000000001"


def declared(endpoint: Any) -> dict[str, bool]:
    app = FastAPI()
    app.add_api_route("/", endpoint)
    [route] = [route for route in app.routes if isinstance(route, APIRoute)]
    return declared_names(route.dependant)


def test_names_of_dependencies_aliases_models_and_lists_are_found() -> None:
    class Wanted(BaseModel):
        size: int = 1
        colors: list[str] = []

    def endpoint(
        paging: PagingDep,
        wanted: Annotated[Wanted, Query()],
        from_: Annotated[str | None, Query(alias="from")] = None,
        tag: Annotated[list[str] | None, Query()] = None,
    ) -> None: ...

    def plain(one: int, many: Annotated[tuple[int, ...], Query()] = ()) -> None: ...

    names = {"limit": False, "cursor": False, "size": False, "colors": True, "from": False, "tag": True}
    assert declared(endpoint) == names
    assert declared(plain) == {"one": False, "many": True}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], {}),
        (["status", "limit"], {}),
        (["tag", "tag"], {}),
        (["statu"], {"statu": f"{UNKNOWN}; did you mean 'status'?"}),
        (["STATUS"], {"STATUS": f"{UNKNOWN}; did you mean 'status'?"}),
        (["zebra"], {"zebra": UNKNOWN}),
        ([""], {"": UNKNOWN}),
        (["limit", "limit"], {"limit": "must be given only once"}),
        (["zebra", "zebra"], {"zebra": UNKNOWN}),
        (["status" * 50], {("status" * 50)[:MAX_NAME_LENGTH]: UNKNOWN}),
    ],
)
def test_a_name_is_unknown_repeated_or_fine(given: list[str], found: dict[str, str]) -> None:
    wrong = find_query_issues({"status": False, "limit": False, "tag": True}, given)
    assert {issue["parameter"]: issue["detail"] for issue in wrong} == found


def test_thousands_of_unknown_names_get_a_few_errors() -> None:
    assert len(find_query_issues({"status": False}, [f"status{number}" for number in range(20_000)])) == ISSUE_LIMIT


@pytest.mark.postgres
async def test_every_route_refuses_an_unknown_parameter_first(api_tenant: ApiTenant) -> None:
    assert len(ROUTES) > 60
    for method, path in ROUTES:
        place = path.removeprefix("/api/v1").replace("{id}", ID).replace("{channel}", "sms")
        response = await api_tenant.http.request(
            method, place.replace("{", "").replace("}", ""), params={"statu": "FAILED"}
        )
        if (method, path) in LENIENT:
            assert response.status_code == 404, path
        elif DOCUMENT["paths"][path][method.lower()]["x-scope"] == "operate":
            assert response.status_code == 403, path
        else:
            assert validation_errors(response)["statu"].startswith(UNKNOWN), path


@pytest.mark.postgres
@pytest.mark.parametrize("query", ["limit=1&limit=2", "limit=1&limit=1", "recipient_id=a&recipient_id=b"])
async def test_a_repeated_parameter_is_refused(api_tenant: ApiTenant, query: str) -> None:
    response = await api_tenant.http.get(f"/notifications?{query}")
    assert list(validation_errors(response).values()) == ["must be given only once"]


def test_the_document_declares_every_possible_422() -> None:
    for method, path in ROUTES:
        promised = "422" in DOCUMENT["paths"][path][method.lower()]["responses"]
        assert promised is ((method, path) not in LENIENT), path
