"""Test every route of the OpenAPI document with the key of another tenant and without a key."""
