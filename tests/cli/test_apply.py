import shutil
from pathlib import Path
from typing import Any

import pytest

from commands.apply import apply
from commands.client import open_api
from commands.errors import CommandError
from embedded.stack import CHECKOUT
from tests.api_tenants import ApiTenant
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

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


async def test_an_error_of_a_schema_is_reported_once_with_its_reason(terminal: Terminal) -> None:
    write_hello(terminal)
    terminal.write("mine/templates/hello/sms.de.txt", "Hallo\n")
    terminal.write("mine/templates/hello/template.yaml", "variables_schema:\n  required: name\n")
    result = await terminal.tocsin("apply", "mine")
    assert result.err == (
        "tocsin: mine/templates/hello/template.yaml:2: variables_schema.required:"
        " is not valid JSON Schema (draft 2020-12): must be of type array\n"
    )


@pytest.mark.parametrize("name", ["type", "template"])
async def test_a_folder_with_almost_the_right_name_is_not_passed_over(terminal: Terminal, name: str) -> None:
    write_hello(terminal)
    (terminal.folder / "mine" / name).mkdir()
    result = await terminal.tocsin("apply", "mine")
    assert (result.code, result.err) == (1, f"tocsin: mine/{name}: is not read; rename it to {name}s\n")


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


BROKEN = [
    ("types/hello.yaml", "route: [\n", "types/hello.yaml:2: "),
    ("types/hello.yaml", "", "types/hello.yaml:1: is empty"),
    ("types/hello.yaml", "- a\n", "types/hello.yaml:1: must be a mapping"),
    ("types/hello.yaml", HELLO_TYPE + "route: []\n", "types/hello.yaml:4: duplicate key 'route'"),
    ("types/hello.yaml", HELLO_TYPE + "priority: 9\n", "types/hello.yaml:4: priority: "),
    ("types/hello.yaml", HELLO_TYPE + "\nprioritty: 1\n", "types/hello.yaml:5: prioritty: is not known here"),
    ("types/hello.yaml", HELLO_TYPE + "key: bye\n", "types/hello.yaml:4: key: must equal the file name, hello"),
    ("types/hello.yaml", HELLO_TYPE.replace("[sms]", "[sms, fax]"), "types/hello.yaml:2: route.0.channels.1: "),
    ("types/hello.yaml", HELLO_TYPE.replace("[sms]", "[email]"), "types/hello.yaml:3: templates.email: is required"),
    (
        "types/hello.yaml",
        HELLO_TYPE.replace("hello", "hullo"),
        "types/hello.yaml:3: templates.sms: there is no template 'hullo'",
    ),
    ("types/hello.txt", HELLO_TYPE, "types/hello.txt:1: a notification type is a .yaml file"),
    ("types/not a key.yaml", HELLO_TYPE, "types/not a key.yaml:1: key: "),
    ("templates/hello/sms.en.txt", "Hello\n{{ name }\n", "templates/hello/sms.en.txt:2: syntax error: unexpected"),
    ("templates/hello/sms.en.txt", " \n", "templates/hello/sms.en.txt:1: is empty"),
    (
        "templates/hello/email.en.html",
        "Subject: {{\n\nHi\n",
        "templates/hello/email.en.html:1: syntax error: ",
    ),
    ("templates/hello/email.en.html", "Subject: a\n\nHi\n{% if %}", "templates/hello/email.en.html:4: syntax error: "),
    ("templates/hello/email.en.txt", "Hi\n", "templates/hello/email.en.txt:1: is the text part of an email, but"),
    (
        "templates/hello/fax.en.txt",
        "Hi\n",
        "templates/hello/fax.en.txt:1: unknown channel 'fax'; choose from email, sms",
    ),
    ("templates/hello/push.en.html", "Hi\n", "templates/hello/push.en.html:1: push does not use HTML"),
    ("templates/hello/sms.english.txt", "Hi\n", "templates/hello/sms.english.txt:1: english: not a language tag"),
    ("templates/hello/sms.txt", "Hi\n", "templates/hello/sms.txt:1: must be template.yaml or <channel>.<language>"),
    ("templates/hello/template.yaml", "schema: {}\n", "templates/hello/template.yaml:1: schema: is not a known field"),
    (
        "templates/hello/template.yaml",
        "variables_schema:\n  type: object\n  properties:\n    name: {type: text}\n",
        "templates/hello/template.yaml:4: variables_schema.properties.name.type: ",
    ),
    ("templates/loose.txt", "Hi\n", "templates/loose.txt:1: a template is a folder"),
]


@pytest.mark.parametrize(
    ("name", "text", "complaint"), BROKEN, ids=[f"{name} {n}" for n, (name, *_) in enumerate(BROKEN)]
)
async def test_a_broken_file_names_file_line_and_reason_and_nothing_is_applied(
    terminal: Terminal, api_tenant: ApiTenant, name: str, text: str, complaint: str
) -> None:
    write_hello(terminal)
    terminal.write("mine/types/fine.yaml", HELLO_TYPE)
    terminal.write(f"mine/{name}", text)
    result: list[str] = []
    with pytest.raises(CommandError) as refused:
        async with open_api(api_tenant.engine.api_url, api_tenant.key) as api:
            await apply(
                api, terminal.folder / "mine", dry_run=False, print_line=result.append, print_warning=result.append
            )
    assert refused.value.lines[0].startswith(f"{terminal.folder}/mine/{complaint}")
    assert result == []
    assert await everything(api_tenant) == [[], []]


async def test_all_faults_are_named_at_once(terminal: Terminal) -> None:
    for number in (1, 2):
        terminal.write(f"mine/types/t{number}.yaml", HELLO_TYPE + "priority: 9\n")
    result = await terminal.tocsin("apply", "mine")
    assert (result.code, result.out) == (1, "")
    named = [line.partition(": ")[2].rpartition(": ")[0] for line in result.err.splitlines()]
    assert named == [f"mine/types/t{number}.yaml:{place}" for number in (1, 2) for place in ("4: priority",)] + [
        f"mine/types/t{number}.yaml:3: templates.sms" for number in (1, 2)
    ]


async def test_a_folder_that_is_none_is_an_error(terminal: Terminal) -> None:
    for folder, reason in (("nowhere", "nowhere is not a folder"), ("examples", "neither types/ nor templates/")):
        result = await terminal.tocsin("apply", folder)
        assert result.code == 1
        assert reason in result.err
