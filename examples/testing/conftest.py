"""Show a project with types and templates next to its tests, which skip time."""

pytest_plugins = ["testing.plugin"]
