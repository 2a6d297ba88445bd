"""Find the fake HTTP vendors: a module of this package with the name of a provider has its vendor."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from testing.vendors.vendor import FakeVendor


def find_vendors() -> dict[str, type[FakeVendor]]:
    """Return the classes by name, in alphabetical order."""
    found: dict[str, type[FakeVendor]] = {}
    for name in sorted(module.name for module in iter_modules([str(Path(__file__).parent)])):
        for value in vars(import_module(f"testing.vendors.{name}")).values():
            if isinstance(value, type) and issubclass(value, FakeVendor) and vars(value).get("name") == name:
                found[name] = value
    return found
