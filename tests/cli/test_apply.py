"""Test `tocsin apply`: what it changes on the server, and what it prints of it."""

import pytest

from tests.api_tenants import ApiTenant
from tests.cli.applied_folders import HELLO_TYPE, SHOP_ITEMS, copy_example_shop, everything, write_hello
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def test_warnings_of_the_server_are_shown(terminal: Terminal, api_tenant: ApiTenant) -> None:
    steps = "  - {channels: [in_app], until: clicked, within: 1h}\n  - {channels: [sms]}\n"
    terminal.write("mine/types/hello.yaml", f"route:\n{steps}templates: {{sms: hello, in_app: hello}}\n")
    for channel in ("sms", "in_app"):
        terminal.write(f"mine/templates/hello/{channel}.en.txt", "Hello\n")
    result = await terminal.tocsin("apply", "mine")
    assert "warning: notification type hello: /route/0: no provider of in_app reports clicked" in result.err


async def test_a_second_apply_changes_nothing_and_reports_that(terminal: Terminal, api_tenant: ApiTenant) -> None:
    first = await terminal.ok("apply", "examples/shop")
    assert f"Applied: {SHOP_ITEMS} new, 0 changed, 0 unchanged." in first
    assert "+ notification type order.shipped" in first
    before = await everything(api_tenant)
    second = await terminal.ok("apply", "examples/shop")
    assert second == f"Nothing to change: all {SHOP_ITEMS} match the files.\n"
    assert await everything(api_tenant) == before


async def test_rich_fields_of_a_push_message_are_compared(terminal: Terminal, api_tenant: ApiTenant) -> None:
    write_hello(terminal)
    terminal.write("mine/templates/hello/push.en.txt", "Hello {{ name }}\n")
    terminal.write("mine/templates/hello/push.en.yaml", "link: shop://{{ name }}\nbadge: 1\n")
    assert "Applied: 3 new" in await terminal.ok("apply", "mine")
    assert await terminal.ok("apply", "mine") == "Nothing to change: all 3 match the files.\n"
    terminal.write("mine/templates/hello/push.en.yaml", "link: shop://{{ name }}\nbadge: 2\n")
    assert "    + badge: 2" in await terminal.ok("apply", "mine")
    terminal.write("mine/templates/hello/push.en.yaml", "badge: 2\nlink: javascript:alert()\n")
    result = await terminal.tocsin("apply", "mine")
    assert "mine/templates/hello/push.en.yaml:2: push.link: is not an https URL" in result.err


async def test_warnings_name_file_and_variable_also_without_a_change(terminal: Terminal, api_tenant: ApiTenant) -> None:
    write_hello(terminal)
    schema = "variables_schema:\n  required: [name]\n  properties: {name: {}, carrier: {}}\n"
    terminal.write("mine/templates/hello/template.yaml", schema)
    terminal.write("mine/templates/hello/push.en.txt", "Hi {{ name }} {{ carrier }} {{ nmae|default('') }}\n")
    terminal.write("mine/templates/hello/sms.de.txt", "Hallo {% if carrier is defined %}{{ carrier }}{% endif %}\n")
    wanted = [
        "push.en.txt:1: 'carrier' is used but not required in the schema: a payload without it can fail",
        "push.en.txt:1: 'nmae' is used but not declared in the schema",
    ]
    for result in (await terminal.tocsin("apply", "mine"), await terminal.tocsin("apply", "mine")):
        assert result.code == 0
        assert result.err.splitlines() == [f"warning: mine/templates/hello/{line}" for line in wanted]
    assert result.out == "Nothing to change: all 4 match the files.\n"


async def test_an_unused_variable_is_reported_once_at_its_schema_line(terminal: Terminal) -> None:
    write_hello(terminal)
    schema = "variables_schema:\n  required: [name, why]\n  properties:\n    name: {}\n    due: {}\n"
    terminal.write("mine/templates/hello/template.yaml", schema)
    terminal.write("mine/templates/hello/sms.de.txt", "Hallo\n")
    result = await terminal.tocsin("apply", "mine")
    file = "warning: mine/templates/hello/template.yaml"
    assert result.err.splitlines() == [
        f"{file}:5: 'due' is declared in the schema but not used",
        f"{file}:3: 'why' is required in the schema but not used",
    ]


async def test_templates_of_a_digest_get_no_false_warnings(terminal: Terminal) -> None:
    terminal.write("mine/types/hello.yaml", HELLO_TYPE + "digest: {window: 15m}\n")
    schema = "variables_schema:\n  required: [name]\n  properties: {name: {}}\n"
    terminal.write("mine/templates/hello/template.yaml", schema)
    terminal.write("mine/templates/hello/sms.en.txt", "{{ total }} new\n")
    result = await terminal.tocsin("apply", "mine")
    assert (result.code, result.err) == (0, "")


async def test_a_type_without_a_text_in_the_default_language_is_reported(terminal: Terminal) -> None:
    terminal.write("mine/types/hello.yaml", HELLO_TYPE)
    terminal.write("mine/templates/hello/sms.de.txt", "Hallo {{ name }}\n")
    result = await terminal.tocsin("apply", "mine")
    assert result.code == 0
    assert result.err.startswith(
        "warning: mine/types/hello.yaml:3: templates.sms: 'hello' has no text for sms in the default language 'en'"
    )
    assert len(result.err.splitlines()) == 1
    terminal.write("mine/templates/hello/sms.en.txt", "Hello {{ name }}\n")
    assert (await terminal.tocsin("apply", "mine")).err == ""
    (terminal.folder / "mine/templates/hello/sms.en.txt").unlink()
    assert (await terminal.tocsin("apply", "mine")).err == "", "the server has it"


async def test_a_summary_of_one_item_is_singular(terminal: Terminal) -> None:
    terminal.write("mine/templates/hello/sms.en.txt", "Hello\n")
    await terminal.ok("apply", "mine")
    assert await terminal.ok("apply", "mine") == "Nothing to change: it matches the file.\n"


async def test_an_applied_type_can_be_sent(terminal: Terminal, api_tenant: ApiTenant) -> None:
    write_hello(terminal)
    await terminal.ok("apply", "mine")
    id = await api_tenant.send("hello", recipient={"recipient_id": "ada", "phone": "+447700900142"})
    shown = await api_tenant.wait_for_status(id, "DELIVERED")
    assert shown["deliveries"][0]["rendered_content"] == {"text": "Hello Ada"}


async def test_a_changed_file_is_shown_as_a_diff_and_published(terminal: Terminal, api_tenant: ApiTenant) -> None:
    folder = copy_example_shop(terminal)
    await terminal.ok("apply", "mine")
    sms = folder / "templates/order-shipped/sms.en.txt"
    sms.write_text("It is coming: {{ order }}\n")
    type_file = folder / "types/order.shipped.yaml"
    type_file.write_text(type_file.read_text() + "priority: 2\n")
    wanted = [
        "~ template order-shipped sms en",
        "    body_template:",
        "    - Your order {{ order }} is on its way{% if carrier is defined %} with {{ carrier }}{% endif %}.",
        "    + It is coming: {{ order }}",
        "~ notification type order.shipped",
        "    priority:",
        "    - 3",
        "    + 2",
    ]
    dry = (await terminal.ok("apply", "mine", "--dry-run")).splitlines()
    assert dry == [*wanted, f"Dry run, nothing was changed: 0 new, 2 changed, {SHOP_ITEMS - 2} unchanged."]
    real = (await terminal.ok("apply", "mine")).splitlines()
    assert real == [*wanted, f"Applied: 0 new, 2 changed, {SHOP_ITEMS - 2} unchanged."]
    [listed] = (await api_tenant.call("GET", "/templates?name=order-shipped&channel=sms&language=en"))["items"]
    assert (listed["version"], listed["published_version"]) == (2, 2)
    assert (await api_tenant.call("GET", "/notification-types/order.shipped"))["priority"] == 2


async def test_an_unpublished_version_is_no_change(terminal: Terminal, api_tenant: ApiTenant) -> None:
    write_hello(terminal)
    await terminal.ok("apply", "mine")
    await api_tenant.add_template("hello", "sms", "A draft", publish=False)
    assert (await terminal.ok("apply", "mine")).startswith("Nothing to change")


async def test_a_manually_published_version_is_replaced(terminal: Terminal, api_tenant: ApiTenant) -> None:
    write_hello(terminal)
    await terminal.ok("apply", "mine")
    await api_tenant.add_template("hello", "sms", "Edited")
    assert "- Edited" in await terminal.ok("apply", "mine")


async def test_templates_that_exist_only_on_the_server_stay(terminal: Terminal, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("theirs", ["email"])
    write_hello(terminal)
    await terminal.ok("apply", "mine")
    assert (await api_tenant.call("GET", "/notification-types/theirs"))["key"] == "theirs"


async def test_off_and_on_are_words_and_no_is_a_language(terminal: Terminal, api_tenant: ApiTenant) -> None:
    terminal.write("mine/types/hello.yaml", HELLO_TYPE + "default: {sms: off}\n")
    terminal.write("mine/templates/hello/sms.no.txt", "Hei\n")
    await terminal.ok("apply", "mine")
    assert (await api_tenant.call("GET", "/notification-types/hello"))["default"] == {"sms": "off"}
    [listed] = (await api_tenant.call("GET", "/templates?name=hello"))["items"]
    assert listed["language"] == "no"


async def test_a_template_with_an_undeclared_variable_is_reported(terminal: Terminal) -> None:
    write_hello(terminal)
    schema = "variables_schema: {type: object, properties: {nam: {type: string}}}\n"
    terminal.write("mine/templates/hello/template.yaml", schema)
    result = await terminal.tocsin("apply", "mine")
    assert result.code == 0
    assert "warning: mine/templates/hello/sms.en.txt:1: " in result.err
