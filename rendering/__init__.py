"""Render sandboxed templates and check payload schemas, without database or network."""
