"""Every route of the OpenAPI document, as the key of another tenant and as no key at all sees it."""
