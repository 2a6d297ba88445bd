"""All providers: the name is module, stored value, settings prefix, receipt address and metric label in one."""

from providers.base import Provider
from providers.in_app import InApp
from providers.sandbox import Sandbox

PROVIDERS: dict[str, type[Provider]] = {
    "in_app": InApp,
    "sandbox": Sandbox,
}
