"""Show a project with types and templates beside its tests, which skip time."""

pytest_plugins = ["testing.plugin"]
