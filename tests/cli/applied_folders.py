"""Write the folders that `tocsin apply` reads, and read what the server has."""

import shutil
from pathlib import Path
from typing import Any

from embedded.stack import CHECKOUT
from tests.api_tenants import ApiTenant
from tests.cli.terminal import Terminal

HELLO_TYPE = "route:\n  - channels: [sms]\ntemplates: {sms: hello}\n"
SHOP_ITEMS = 27


def copy_example_shop(terminal: Terminal) -> Path:
    folder = terminal.folder / "mine"
    shutil.copytree(CHECKOUT / "examples" / "shop", folder)
    return folder


def write_hello(terminal: Terminal) -> None:
    terminal.write("mine/types/hello.yaml", HELLO_TYPE)
    terminal.write("mine/templates/hello/sms.en.txt", "Hello {{ name }}\n")


async def everything(api_tenant: ApiTenant) -> list[Any]:
    return [
        (await api_tenant.call("GET", f"/{type_file}?limit=100"))["items"]
        for type_file in ("templates", "notification-types")
    ]
