"""A project that keeps its types and templates beside the tests that let days go by."""

pytest_plugins = ["testing.plugin"]
