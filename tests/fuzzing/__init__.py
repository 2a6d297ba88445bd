"""Test requests that schemathesis generates from the OpenAPI document. A package, so that its fixtures end with it."""
