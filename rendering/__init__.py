"""Sandboxed templates and payload schemas: no database, no network."""
