"""Test that `tocsin apply` names file, line and reason of every error in the files, and then applies nothing."""

import pytest

from commands.apply import apply
from commands.client import open_api
from commands.errors import CommandError
from tests.api_tenants import ApiTenant
from tests.cli.applied_folders import HELLO_TYPE, everything, write_hello
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


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
