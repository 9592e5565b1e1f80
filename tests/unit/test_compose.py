"""docker-compose.yml, held to what the tests run: no engine is needed to see that it says the same."""

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from app.admin.dashboard.files import BUILT
from app.cli import app
from app.local.node import OLDEST
from app.local.stores import StoreProcess, cache_store, queue_store, rules_store
from app.process.serving import GRACEFUL_SHUTDOWN_S
from app.settings import Settings
from app.web.headers import FROM_PROXIES

ROOT = Path(__file__).parents[2]
OF_THIS_MACHINE = {"--bind", "--port", "--dir"}
SIZES = {"--maxmemory"}


pytestmark = pytest.mark.xdist_group("compose")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def ours(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in compose["services"].items() if "build" in service}


def options(command: list[str] | tuple[str, ...]) -> dict[str, str]:
    """`--name value` pairs."""
    return {name: value for name, value in pairwise(command) if name.startswith("--")}


def test_every_kind_of_process_is_there(compose: dict[str, Any]) -> None:
    assert {service["command"][0] for service in ours(compose).values()} == {"edge", "worker", "sync", "admin"}


def test_every_command_is_one_that_the_cli_takes(compose: dict[str, Any]) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for service in ours(compose).values():
        name, *arguments = service["command"]
        commands[name].make_context(name, list(arguments))  # raises where an option is unknown or malformed


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    known = {f"PENSTOCK_{name.upper()}" for name in Settings.model_fields}
    for name, service in ours(compose).items():
        assert set(service["environment"]) <= known, name


def test_every_address_names_a_service(compose: dict[str, Any]) -> None:
    for service in ours(compose).values():
        for value in service["environment"].values():
            for host in re.findall(r"^(?:mongodb|redis)://(?:[^@]*@)?([a-z0-9-]+)[:/]", str(value)):
                assert host in compose["services"]
        assert set(service["depends_on"]) <= set(compose["services"])


@pytest.mark.parametrize(("service", "make"), [("cache-redis", cache_store), ("queue-redis", queue_store)])
def test_each_redis_is_started_as_the_tests_start_it(
    compose: dict[str, Any], tmp_path: Path, service: str, make: Callable[[Path, int], StoreProcess]
) -> None:
    there = options(compose["services"][service]["command"])
    here = options(make(tmp_path, 6379).command)
    without = OF_THIS_MACHINE | SIZES
    assert {n: v for n, v in there.items() if n not in without} == {n: v for n, v in here.items() if n not in without}
    assert "--maxmemory" in there


@pytest.mark.parametrize("service", ["cache-redis", "queue-redis"])
def test_each_redis_asks_for_a_password_that_no_command_shows(compose: dict[str, Any], service: str) -> None:
    assert "PASSWORD" not in " ".join(compose["services"][service]["command"])
    assert compose["configs"]["redis-password"]["content"] == "requirepass ${PENSTOCK_REDIS_PASSWORD}"
    [config] = compose["services"][service]["configs"]
    assert config["source"] == "redis-password"
    assert compose["services"][service]["command"][1] == config["target"]
    variable = f"PENSTOCK_{service.split('-', maxsplit=1)[0].upper()}_REDIS_URL"
    for each in ours(compose).values():
        assert each["environment"][variable].startswith("redis://:${PENSTOCK_REDIS_PASSWORD")


def test_mongodb_offers_no_compression_by_zlib(compose: dict[str, Any], tmp_path: Path) -> None:
    there = options(compose["services"]["mongodb"]["command"])
    here = options(rules_store(tmp_path, 27017).command)
    assert there["--networkMessageCompressors"] == here["--networkMessageCompressors"] == "snappy,zstd"


def test_mongodb_is_the_same_replica_set(compose: dict[str, Any], tmp_path: Path) -> None:
    there = options(compose["services"]["mongodb"]["command"])
    assert there["--replSet"] == options(rules_store(tmp_path, 27017).command)["--replSet"]


def test_a_process_has_time_to_finish(compose: dict[str, Any]) -> None:
    for name, service in ours(compose).items():
        needed_s = max(Settings().finish_within_s, Settings().drain_s + GRACEFUL_SHUTDOWN_S)
        assert int(service["stop_grace_period"].removesuffix("s")) > needed_s, name


def test_what_must_be_kept_is_on_a_volume(compose: dict[str, Any]) -> None:
    for name in ("mongodb", "queue-redis"):
        volume = compose["services"][name]["volumes"][0].partition(":")[0]
        assert volume in compose["volumes"]


def test_every_part_has_the_identity_key_as_a_secret(compose: dict[str, Any]) -> None:
    for name, service in ours(compose).items():
        (secret,) = service["secrets"]
        assert secret in compose["secrets"], name
        assert service["environment"]["PENSTOCK_IDENTITY_KEY_FILE"] == f"/run/secrets/{secret}", name


def test_the_scrape_example_reaches_every_part(compose: dict[str, Any]) -> None:
    page = (ROOT / "docs/operations/metrics-and-alerts.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (job,) = yaml.safe_load(example)["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == set(ours(compose))
    for name, service in ours(compose).items():
        assert options(service["command"])["--ops-port"] == str(found["port"]), name
        assert service["environment"]["PENSTOCK_OPS_HOST"] == "0.0.0.0", name


def test_the_edges_trust_the_load_balancer_alone(compose: dict[str, Any]) -> None:
    services = compose["services"]
    address = ip_address(services["load-balancer"]["networks"]["front"]["ipv4_address"])
    edges = {name for name, service in ours(compose).items() if service["command"][0] == "edge"}
    for name in edges:
        assert services[name]["environment"]["PENSTOCK_TRUSTED_PROXIES"] == f"{address}/32"
    assert {name for name, one in services.items() if "front" in one.get("networks", ())} == edges | {"load-balancer"}
    [config] = compose["networks"]["front"]["ipam"]["config"]
    assert address in ip_network(config["subnet"])
    assert address not in ip_network(config["ip_range"]), "nobody else gets it, whoever starts first"


def test_nginx_leaves_nothing_that_a_client_wrote() -> None:
    """Of all headers that an edge keeps from a trusted proxy, at least those that it knows by name."""
    text = (ROOT / "scripts" / "nginx" / "nginx.conf").read_text()
    given = {name.lower(): value for name, value in re.findall(r"^ *proxy_set_header (\S+) (.+);$", text, re.MULTILINE)}
    written = [name.encode() for name in given]
    assert written == sorted(set(written), key=written.index)
    assert set(FROM_PROXIES) <= set(written)
    assert given["x-forwarded-for"] == "$remote_addr"
    assert not {value for value in given.values() if value.startswith(("$http_", "$proxy_add"))} - {"$http_host"}


def test_the_image_carries_the_dashboard_as_it_is_built_here() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    [stage] = [line for line in lines if line.startswith("FROM node:")]
    assert int(re.findall(r"^FROM node:(\d+)-\S+ AS dashboard$", stage)[0]) > OLDEST[0]
    served = BUILT.relative_to(ROOT).as_posix()
    at = lines.index(f"COPY --from=dashboard /built {served}")
    assert lines.index("COPY app app") < at < next(number for number, line in enumerate(lines) if "pip wheel" in line)
    [build] = [line for line in lines if line.startswith("RUN npm run build")]
    assert build.endswith("-- --outDir /built --emptyOutDir")
    copied = next(line.split()[1:-1] for line in lines if line.startswith("COPY dashboard/"))
    assert [name for name in copied if not (ROOT / name).is_file()] == []
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"**/node_modules", f"{served}*", ".venv", ".git", ".penstock", "identity.pem"} <= set(ignored)


def test_the_image_has_the_command_and_no_root(compose: dict[str, Any]) -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert lines[-1] == 'ENTRYPOINT ["penstock"]'
    assert any(line.startswith("USER ") and "root" not in line for line in lines)
