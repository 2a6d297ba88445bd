"""Validate requests, responses and callbacks against cut-outs of the OpenAPI documents that vendors publish.

A cut-out, `payloads/<provider>/<name>_openapi.json`, keeps the document's title, version and license.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

PAYLOADS = Path(__file__).parent / "payloads"


@cache
def _validator(document: str, schema: str) -> jsonschema_rs.Draft202012Validator:
    cut_out = json.loads((PAYLOADS / f"{document}_openapi.json").read_text())
    assert {"title", "version", "license"} <= set(cut_out["info"])
    assert schema in cut_out["components"]["schemas"]
    # Unlike the published schema, refuse members that it does not list: they would be typing errors.
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": cut_out["components"], "unevaluatedProperties": False}
    )


def schema_problems(document: str, schema: str, value: Any) -> list[str]:
    """Return what is wrong with a value. `document` is `<provider>/<name>`."""
    return [error.message for error in _validator(document, schema).iter_errors(value)]
