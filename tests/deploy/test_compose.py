"""Test the content of docker-compose.yml. No engine runs it here; docs/installing.md lists what was not tested."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from config import Settings
from config.sources import PREFIX
from embedded.temporal import DYNAMIC_CONFIG, find_binary
from tests.code.tree import ROOT
from tests.deploy.compose import COMPOSE, VARIABLE, compose, seconds, services

SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
OURS = ("api", "worker", "migrate")
RUN_ONCE = {"migrate", "temporal-schema", "temporal-namespace"}
# Service: reason.
WITHOUT_HEALTHCHECK = {
    "temporal-ui": "nothing waits for it",
}
ROOT_USERS = {"caddy": "its volumes belong to root; it keeps no right but to bind low ports"}
WRITABLE = {"temporal-ui": "writes its configuration at its start"}
PUBLIC = {"caddy"}
# Variables of compose itself, in addition to the settings.
INTERPOLATED = {
    "DOMAIN",
    "TEMPORAL_NAMESPACE",
    "TEMPORAL_UI_URL",
    "TEMPORAL_RETENTION",
    "TOCSIN_IMAGE_TAG",
    "PROMETHEUS_RETENTION",
}


def problems(what: Any) -> list[str]:
    return [
        f"{error.instance_path}: {error.message}" for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(what)
    ]


def environment_names() -> set[str]:
    return {name for service in services().values() for name in service.get("environment", {})}


def test_the_file_is_valid_by_the_compose_specification() -> None:
    assert problems(compose()) == []


def test_the_schema_finds_an_error() -> None:
    assert problems({"services": {"api": {"imagee": "tocsin"}}})


def test_every_setting_that_is_given_exists() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = {name for name in environment_names() if name.startswith(PREFIX)}
    assert given
    assert {name for name in given if not {name, name.removesuffix("_FILE")} & known} == set()


def test_every_setting_of_the_example_exists_and_none_is_a_secret() -> None:
    lines = (ROOT / "deploy/server.env.example").read_text().splitlines()
    given = {found[1] for line in lines if (found := re.match(rf"#?({PREFIX}[A-Z_]+)=", line))}
    assert given
    assert {name.removeprefix(PREFIX).lower() for name in given} <= set(Settings.model_fields)
    assert not {name for name in given if name.endswith(("_KEY", "_PASSWORD", "_URL", "_TOKEN", "_SECRET"))}


def test_only_known_variables_are_filled_in() -> None:
    assert {found[1] for found in VARIABLE.finditer(COMPOSE.read_text())} == INTERPOLATED


def test_every_service_has_a_healthcheck_or_a_reason() -> None:
    without = {name for name, service in services().items() if "healthcheck" not in service}
    assert without == RUN_ONCE | set(WITHOUT_HEALTHCHECK)
    assert all(WITHOUT_HEALTHCHECK.values())


def test_every_condition_that_services_wait_for_can_be_met() -> None:
    for name, service in services().items():
        for other, wanted in service.get("depends_on", {}).items():
            once = wanted["condition"] == "service_completed_successfully"
            assert once == (other in RUN_ONCE), f"{name} waits for {other}"
            assert once or "healthcheck" in services()[other], f"{name} waits for the health of {other}"


def test_no_secret_is_in_plain_text() -> None:
    for name, service in services().items():
        for key, value in service.get("environment", {}).items():
            secret = any(word in key for word in ("PASSWORD", "PWD", "SECRET", "_KEY", "DATABASE_URL"))
            assert not secret or (key.endswith("_FILE") and str(value).startswith("/run/secrets/")), f"{name}: {key}"
    assert "://" not in re.sub(r"https?://", "", COMPOSE.read_text())


def test_every_secret_is_declared_used_and_made_by_prepare() -> None:
    declared = compose()["secrets"]
    used = {secret for service in services().values() for secret in service.get("secrets", [])}
    assert used == set(declared)
    prepare = (ROOT / "deploy/prepare.sh").read_text()
    for name, secret in declared.items():
        assert secret == {"file": f"deploy/secrets/{name}"}
        assert f"keep {name} " in prepare


def test_images_are_pinned() -> None:
    for name, service in services().items():
        tag = service["image"].partition(":")[2]
        assert tag not in ("", "latest"), name
        assert name in OURS or re.match(r"v?\d+(\.\d+)*(-|$)", tag), name


def test_the_compose_file_uses_the_tested_temporal() -> None:
    output = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Server (\S+), UI ([^\s)]+)", output)
    assert found
    server, ui = found.groups()
    images = {service["image"] for service in services().values() if service["image"].startswith("temporalio/")}
    assert images == {f"temporalio/server:{server}", f"temporalio/admin-tools:{server}", f"temporalio/ui:{ui}"}


def test_api_worker_and_migrate_are_one_image() -> None:
    assert len({json.dumps([services()[name][key] for key in ("image", "build")]) for name in OURS}) == 1
    assert {name: services()[name]["command"] for name in OURS} == {name: [name] for name in OURS}


def test_every_volume_is_named_or_a_file_of_the_repository() -> None:
    named = compose()["volumes"]
    assert all(volume["name"].startswith("tocsin-") for volume in named.values())
    for service in services().values():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("./"):
                assert rest.endswith(":ro"), volume
                assert source == "./deploy/secrets/providers" or (ROOT / source).exists(), volume
            else:
                assert source in named


def test_only_the_edge_is_reached_from_outside() -> None:
    for name, service in services().items():
        open_to_all = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
        assert bool(open_to_all) == (name in PUBLIC), name
    assert compose()["networks"]["data"] == {"internal": True}
    assert {name for name, service in services().items() if service["networks"] == ["data"]} >= {"postgres", "temporal"}


def test_no_container_has_more_rights_than_it_needs() -> None:
    for name, service in services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("read_only") or name in WRITABLE, name
        if name not in OURS:
            assert (service.get("user", "root") == "root") == (name in ROOT_USERS), name


def test_monitoring_is_a_profile_and_reads_pages_of_services_that_exist() -> None:
    assert {name for name, service in services().items() if "profiles" in service} == {"prometheus", "grafana"}
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    read = {job["job_name"]: job["dns_sd_configs"][0] for job in jobs}
    assert {job: found["names"] for job, found in read.items()} == {"tocsin-api": ["api"], "tocsin-worker": ["worker"]}
    environment = services()["worker"]["environment"]
    assert str(read["tocsin-worker"]["port"]) == environment["TOCSIN_METRICS_PORT"]
    assert "ports" not in services()["worker"]
    assert all("data" in services()[name]["networks"] for name in ("prometheus", "api", "worker"))


def test_every_log_has_a_limit() -> None:
    for name, service in services().items():
        options = service["logging"]["options"]
        assert service["logging"]["driver"] == "json-file", name
        assert re.fullmatch(r"\d{1,2}m", options["max-size"]), name
        assert 1 <= int(options["max-file"]) <= 10, name


def test_a_temporal_without_login_is_reached_by_internal_networks_only() -> None:
    temporal = services()["temporal"]
    assert temporal["environment"]["TEMPORAL_ALLOW_NO_AUTH"] == "true"
    assert temporal["networks"] == ["data"]
    assert "ports" not in temporal


def test_a_lost_store_is_replaced_while_its_server_is_stopped() -> None:
    section = (ROOT / "docs/operating.md").read_text().partition("### Temporal's store")[2]
    commands = section.partition("```sh\n")[2].partition("```")[0].replace("\\\n", "").splitlines()
    [stop] = [number for number, line in enumerate(commands) if line.startswith("docker compose stop temporal ")]
    [drop] = [number for number, line in enumerate(commands) if "DROP DATABASE" in line]
    [up] = [number for number, line in enumerate(commands) if line.startswith("docker compose up")]
    assert stop < drop < up
    assert "--force-recreate" in commands[up]
    again = commands[up].split()
    assert RUN_ONCE - {"migrate"} | {"temporal"} <= set(again)
    waits = {name: set(services()[name]["depends_on"]) for name in ("temporal", "temporal-namespace")}
    assert waits == {"temporal": {"temporal-schema"}, "temporal-namespace": {"temporal"}}


def test_a_worker_may_drain_before_it_is_killed() -> None:
    worker = services()["worker"]
    assert seconds(worker["stop_grace_period"]) > float(worker["environment"]["TOCSIN_DRAIN_TIMEOUT"]) + 5
    assert "container_name" not in worker, "a fixed name cannot be scaled"


def test_the_dynamic_configuration_is_that_of_make_run() -> None:
    file = yaml.safe_load((ROOT / "deploy/temporal/dynamic.yaml").read_text())
    assert {key: str(entries[0]["value"]).lower() for key, entries in file.items()} == DYNAMIC_CONFIG
    assert all(len(entries) == 1 for entries in file.values())


@pytest.mark.parametrize("script", ["prepare.sh", "postgres/roles.sh", "temporal/schema.sh", "temporal/namespace.sh"])
def test_scripts_are_plain_shell_and_executable(script: str) -> None:
    path = ROOT / "deploy" / script
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
    assert path.stat().st_mode & 0o111
    assert "set -eu" in path.read_text()
