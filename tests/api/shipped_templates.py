"""Save templates with the name `shipped`."""

from typing import Any

import httpx2

SCHEMA = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
EMAIL: dict[str, Any] = {
    "name": "shipped",
    "channel": "email",
    "language": "en",
    "subject_template": "Hello {{ name }}",
    "body_template": "<p>{{ name }} &amp; co</p>",
    "variables_schema": SCHEMA,
    "publish": True,
}


async def save(api: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await api.post("/templates", json=EMAIL | changes)
    assert response.status_code == 201, response.text
    saved: dict[str, Any] = response.json()
    return saved


async def find_issues(api: httpx2.AsyncClient, path: str, body: Any) -> dict[str, str]:
    response = await api.post(path, json=body)
    assert response.status_code == 422, response.text
    return {error["pointer"]: error["detail"] for error in response.json()["errors"]}
