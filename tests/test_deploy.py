"""deploy/ and the Dockerfile: what they say of settings, series, places and times holds."""

import copy
import itertools
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.server.reloading import Reloader
from app.settings import PREFIX, Settings, known_variables, read_settings
from benchmarks.servers import free_port
from ganserve import __version__
from tests.services import TIMEOUT, service, wait_until

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
REPLICAS = ("replica-a", "replica-b")
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "ganserve.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
OVERLAYS = ("cpu", "gpu")
KUSTOMIZE = [["kustomize", "build"]] if shutil.which("kustomize") else []
KUSTOMIZE += [["kubectl", "kustomize"]] if shutil.which("kubectl") else []
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
SELECTOR = '{job="ganserve", instance=~"$instance"}'
needs_kustomize = pytest.mark.skipif(not KUSTOMIZE, reason="no kustomize and no kubectl installed")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def seconds(text: str) -> float:
    """Returns the seconds of a time as HAProxy, nginx and compose write it."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Reads them as the service would: a wrong or unknown one raises."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return read_settings()


def dockerfile_environment() -> dict[str, str]:
    text = DOCKERFILE.rpartition("FROM ")[2].replace("\\\n", " ")
    words = [word for line in re.findall(r"^ENV (.*)$", text, re.M) for word in line.split()]
    return dict(word.split("=", 1) for word in words)


# --- the image ---


def test_image_tells_the_service_nothing_that_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = dockerfile_environment()
    del told["PATH"]
    settings = settings_of(told, monkeypatch)
    assert (settings.host, settings.port, settings.log_format) == ("0.0.0.0", 8000, "json")


def test_image_runs_one_process_that_gets_the_signals_and_is_not_root() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert json.loads(re.findall(r"^CMD (.*)$", last, re.M)[0]) == ["ganserve", "serve"]
    check = json.loads(re.findall(r"^    CMD (.*)$", last, re.M)[0])
    assert check == ["ganserve", "health"]
    assert re.search(r"^USER (\d+):(\d+)$", last, re.M).groups() != ("0", "0")


def test_image_says_what_it_is() -> None:
    label = dict(re.findall(r"org\.opencontainers\.image\.(\w+)=(.*?)(?: \\)?$", DOCKERFILE, re.M))
    assert label["licenses"] == "Apache-2.0"
    assert label["version"] == "$VERSION"
    assert re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.M) == [__version__]


def test_image_is_made_of_what_the_build_may_see() -> None:
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M)
    used = {word.split("/")[0] for words in copied for word in words.split()}
    assert used == seen
    assert all((ROOT / name).exists() for name in used)


# --- compose, HAProxy, nginx ---


@pytest.mark.parametrize("name", REPLICAS)
def test_replica_is_hardened_and_knows_its_settings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = COMPOSE["services"][name]
    settings = settings_of(replica["environment"], monkeypatch)
    assert seconds(replica["stop_grace_period"]) > settings.grace_seconds > settings.drain_seconds
    assert replica["read_only"] is True
    assert replica["cap_drop"] == ["ALL"]
    assert replica["security_opt"] == ["no-new-privileges:true"]
    assert replica["pids_limit"]
    assert replica["mem_limit"]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_compose_names_only_what_is_there(name: str) -> None:
    service = COMPOSE["services"][name]
    assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert (
            (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        )
    assert "latest" not in service["image"]


def test_one_profile_starts_by_itself_and_both_balancers_take_its_port() -> None:
    (chosen,) = re.findall(r"^COMPOSE_PROFILES=(.*)$", (DEPLOY / ".env").read_text(), re.M)
    assert COMPOSE["services"][chosen]["profiles"] == [chosen]
    balancers = [COMPOSE["services"][name] for name in ("haproxy", "nginx")]
    assert balancers[0]["ports"][0] == balancers[1]["ports"][0]
    for balancer in balancers:
        believed = COMPOSE["services"][REPLICAS[0]]["environment"]["FORWARDED_ALLOW_IPS"]
        assert balancer["networks"]["default"]["ipv4_address"] == believed


def test_times_of_replicas_and_balancers_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(COMPOSE["services"][REPLICAS[0]]["environment"], monkeypatch)
    haproxy = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    nginx = (DEPLOY / "nginx" / "nginx.conf").read_text()
    times = {
        name: seconds(time) for name, time in re.findall(r"^ +timeout (\S+) (\w+)", haproxy, re.M)
    }
    (check,) = re.findall(r"inter (\w+) fastinter", haproxy)
    assert settings.drain_seconds >= 2.5 * (seconds(check) + times["check"])
    assert settings.keep_alive_seconds > times["http-keep-alive"]
    short = [seconds(time) for time in re.findall(r"timeout server (\w+)", haproxy)]
    short += [seconds(time) for time in re.findall(r"proxy_read_timeout (\w+);", nginx)]
    assert min(short) > settings.max_wait
    (limit,) = re.findall(r"req\.body_size gt (\d+)", haproxy)
    assert int(limit) == settings.max_body_kib * 1024
    assert f"client_max_body_size {settings.max_body_kib // 1024}m;" in nginx


@pytest.mark.parametrize("state", ["UP", "DOWN"])
def test_rolling_waits_for_the_view_of_the_balancer(tmp_path: Path, state: str) -> None:
    """With a docker that only writes down what it is told."""
    docker, calls = tmp_path / "docker", tmp_path / "calls"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    docker.chmod(0o755)
    line = 'haproxy_server_status{proxy="pictures",server="%s",state="%s"} %d\n'
    page = "".join(line % (name, s, s == state) for name in "ab" for s in ("DOWN", "UP"))

    class Stats(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Stats)
    thread = Thread(target=server.serve_forever)
    thread.start()
    told = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "STATS": f"http://127.0.0.1:{server.server_port}/metrics",
        "PATIENCE": "1",
    }
    try:
        done = subprocess.run(
            [DEPLOY / "roll.sh"], env=os.environ | told, capture_output=True, text=True, check=False
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    rolled = [call.split()[-1] for call in calls.read_text().splitlines()]
    if state == "UP":
        assert (done.returncode, rolled) == (0, list(REPLICAS))
    else:  # the second one is left alone
        assert (done.returncode, rolled) == (1, [REPLICAS[0]])
        assert "not back" in done.stderr


# --- Kubernetes ---


def rendered(overlay: str) -> list[dict[str, Any]]:
    folder = str(DEPLOY / "kubernetes" / "overlays" / overlay)
    done = subprocess.run([*KUSTOMIZE[0], folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def horizontal(scaled: dict[str, Any]) -> dict[str, Any]:
    """Makes the HorizontalPodAutoscaler that KEDA makes of its ScaledObject, of which every field
    is known and every value in a trigger's metadata a string.
    """
    spec = scaled["spec"]
    known = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "fallback"}
    assert set(spec) <= known | {"advanced", "triggers", "cooldownPeriod"}
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert set(spec["fallback"]) == {"failureThreshold", "replicas"}
    assert set(spec["advanced"]) == {"horizontalPodAutoscalerConfig"}
    metrics = []
    for number, trigger in enumerate(spec["triggers"]):
        assert set(trigger) == {"type", "metricType", "metadata"}
        assert trigger["type"] == "prometheus"
        asked = trigger["metadata"]
        required = {"serverAddress", "query", "threshold"}
        assert required <= set(asked) <= {*required, "activationThreshold"}
        assert all(isinstance(value, str) for value in asked.values())
        target = {"type": trigger["metricType"], "averageValue": asked["threshold"]}
        metric = {"name": f"s{number}-prometheus"}
        metrics.append({"type": "External", "external": {"metric": metric, "target": target}})
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": scaled["metadata"],
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment"}
            | spec["scaleTargetRef"],
            "minReplicas": max(1, spec["minReplicaCount"]),
            "maxReplicas": spec["maxReplicaCount"],
            "metrics": metrics,
            **spec["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }


def valid(document: dict[str, Any]) -> None:
    """Raises ValidationError where the Kubernetes API would refuse a document."""
    if document["kind"] == "ScaledObject":
        document = horizontal(document)
    kubernetes_validate.validate(document, "1.33", strict=True)


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.name)
        for file in sorted((DEPLOY / "kubernetes" / "base").glob("*.yaml"))
        if file.name != "kustomization.yaml"
    ],
)
def test_manifest_fits_the_schema(file: Path) -> None:
    valid(yaml.safe_load(file.read_text()))


def test_way_in_fits_the_schema_and_leads_to_the_service() -> None:
    base = DEPLOY / "kubernetes" / "base"
    ingress = yaml.safe_load((base.parent / "components" / "ingress" / "ingress.yaml").read_text())
    valid(ingress)
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = yaml.safe_load((base / "service.yaml").read_text())
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    ports = [port["name"] for port in service["spec"]["ports"]]
    assert path["backend"]["service"]["port"]["name"] in ports
    assert [rule["host"]] == ingress["spec"]["tls"][0]["hosts"]


def test_pods_are_scraped_as_the_job_that_the_alerts_know() -> None:
    pod = yaml.safe_load((DEPLOY / "kubernetes" / "base" / "deployment.yaml").read_text())["spec"]
    labels = pod["template"]["metadata"]["labels"]
    ports = [port["name"] for port in pod["template"]["spec"]["containers"][0]["ports"]]
    folder = DEPLOY / "kubernetes" / "components" / "monitoring"
    monitor = yaml.safe_load((folder / "podmonitor.yaml").read_text())["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "ganserve"
    assert monitor["podMetricsEndpoints"][0]["port"] in ports
    plain = yaml.safe_load((DEPLOY / "prometheus" / "kubernetes.yml").read_text())
    (config,) = plain["scrape_configs"]
    assert config["job_name"] == "ganserve"
    kept = {r["source_labels"][0]: r["regex"] for r in config["relabel_configs"] if "regex" in r}
    assert kept == {
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": labels["app.kubernetes.io/name"],
        "__meta_kubernetes_pod_container_port_name": "admin(-[0-9]+)?",
    }


@needs_promtool
def test_prometheus_reads_the_scrape_config_of_pods(tmp_path: Path) -> None:
    document = yaml.safe_load((DEPLOY / "prometheus" / "kubernetes.yml").read_text())
    (config,) = document["scrape_configs"]
    assert config.pop("kubernetes_sd_configs") == [{"role": "pod"}]  # Debian's build has none
    config["static_configs"] = [{"targets": ["127.0.0.1:9000"]}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(document))
    command = ["promtool", "check", "config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_fits_the_schema(overlay: str) -> None:
    documents = rendered(overlay)
    assert len(documents) == 6
    for document in documents:
        valid(document)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "ganserve"


@pytest.mark.parametrize(
    "mistake",
    [
        lambda pod: pod["containers"][0].update(imagePullPolice="Always"),
        lambda pod: pod["containers"][0]["ports"][0].update(containerPort="8000"),
        lambda pod: pod["containers"][0].pop("name"),
    ],
    ids=["unknown field", "wrong type", "missing"],
)
def test_schema_refuses_a_planted_mistake(mistake: Any) -> None:
    document = yaml.safe_load((DEPLOY / "kubernetes" / "base" / "deployment.yaml").read_text())
    planted = copy.deepcopy(document)
    mistake(planted["spec"]["template"]["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(planted)


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pod_is_restricted_and_knows_its_settings(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = rendered(overlay)
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = {entry["name"]: entry["value"] for entry in container["env"]}
    settings = settings_of(told, monkeypatch)
    assert settings.device == {"cpu": "cpu", "gpu": "cuda"}[overlay]
    assert pod["terminationGracePeriodSeconds"] > settings.grace_seconds
    probe = container["readinessProbe"]
    assert settings.drain_seconds >= probe["failureThreshold"] * probe["periodSeconds"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": settings.port,
        "admin": settings.admin_port,
    }
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["allowPrivilegeEscalation"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert len(pod["topologySpreadConstraints"]) == 2
    assert container["resources"]["limits"]["memory"]
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (overlay == "gpu")


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_objects_name_each_other(overlay: str) -> None:
    documents = rendered(overlay)
    deployment = of_kind(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        of_kind(documents, "Service")["spec"]["selector"],
        of_kind(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    autoscaler = of_kind(documents, "ScaledObject")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert autoscaler["minReplicaCount"] >= 2
    assert autoscaler["maxReplicaCount"] == {"cpu": 20, "gpu": 8}[overlay]


def scaling() -> list[dict[str, Any]]:
    """Returns the base's autoscaler, and the one that may have no pods."""
    folder = DEPLOY / "kubernetes"
    plain = yaml.safe_load((folder / "base" / "autoscaler.yaml").read_text())
    zero = copy.deepcopy(plain)
    patch = (folder / "components" / "scale-to-zero" / "autoscaler.yaml").read_text()
    for change in yaml.safe_load(patch):
        name = change["path"].split("/")[2]
        if change["path"].endswith("/-"):
            zero["spec"][name].append(change["value"])
        else:
            assert (name in zero["spec"]) == (change["op"] == "replace")
            zero["spec"][name] = change["value"]
    return [plain, zero]


def test_autoscaler_that_may_have_no_pods_fits_the_schema() -> None:
    _, zero = scaling()
    valid(zero)
    assert zero["spec"]["minReplicaCount"] == 0
    assert zero["spec"]["triggers"][1]["metadata"]["activationThreshold"] == "0"


@needs_kustomize
def test_scale_to_zero_is_what_kustomize_makes_of_it(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "mine"
    overlay.mkdir()
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../cpu"],
        "components": ["../../components/scale-to-zero"],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run(
        [*KUSTOMIZE[0], str(overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = of_kind(list(yaml.safe_load_all(done.stdout)), "ScaledObject")
    assert made["spec"] == scaling()[1]["spec"]


# --- what the operator sees ---


@pytest.fixture(scope="module")
def series(client: TestClient) -> dict[str, set[str]]:
    """Returns every series that the service has, with the labels of those that have a sample."""
    client.get("/generate?seed=99000001")
    client.get("/nothing")
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for ending in endings[family.type]:
            found[family.name + ending] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def selected(query: str) -> Iterator[tuple[str, list[str]]]:
    """Yields each of our series in a query, and the labels that it is selected by."""
    for name, braces in re.findall(r"\b((?:ganserve|process)_\w+)(?:\{([^}]*)\})?", query):
        yield name, re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces)


def unknown(query: str, series: dict[str, set[str]]) -> list[str]:
    """Returns what the service does not have of a query; Prometheus adds job and instance."""
    grouped = [
        label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")
    ]
    wrong = []
    for name, labels in selected(query):
        if name not in series:
            wrong.append(name)
            continue
        have = series[name] | {"job", "instance"}
        asked = [*labels, *(label.strip() for label in grouped)]
        if series[name]:  # else none has a label
            wrong += [f"{name}: {label}" for label in asked if label not in have]
    return wrong


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alert_asks_for_series_that_exist(
    rule: dict[str, Any], series: dict[str, set[str]]
) -> None:
    assert unknown(rule["expr"], series) == []


def test_autoscaler_asks_for_a_series_that_exists(series: dict[str, set[str]]) -> None:
    query = scaling()[0]["spec"]["triggers"][0]["metadata"]["query"]
    assert [name for name, _ in selected(query)] == ["ganserve_pictures_pending"]
    assert "ganserve_pictures_pending" in series


@pytest.mark.parametrize("query", QUERIES)
def test_panel_asks_for_series_that_exist(query: str, series: dict[str, set[str]]) -> None:
    assert list(selected(query))
    assert unknown(query, series) == []


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("rate(ganserve_pictures[5m])", ["ganserve_pictures"]),
        ('ganserve_requests_total{code="200"}', ["ganserve_requests_total: code"]),
        ("sum by (host) (ganserve_ready)", []),  # it has no label of its own: nothing is known
        (
            "sum by (le, route) (ganserve_queue_seconds_bucket)",
            ["ganserve_queue_seconds_bucket: route"],
        ),
    ],
)
def test_query_for_what_is_not_there_is_noticed(
    query: str, wrong: list[str], series: dict[str, set[str]]
) -> None:
    assert unknown(query, series) == wrong


def test_values_in_queries_are_ones_that_the_service_says() -> None:
    text = " ".join([*QUERIES, *(rule["expr"] for rule in ALERTS)])
    reasons = {
        word for group in re.findall(r'reason=~?"([^"]*)"', text) for word in group.split("|")
    }
    source = "".join(file.read_text() for file in (ROOT / "app").rglob("*.py"))
    assert reasons
    assert all(f'"{reason}"' in source for reason in reasons)
    outcomes = set(re.findall(r'outcome="([^"]*)"', text))
    assert outcomes <= set(Reloader(Settings(), lambda generators: None).outcomes)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alert_has_its_page(rule: dict[str, Any]) -> None:
    assert f"### {rule['alert']}\n" in (ROOT / "docs" / "operation.md").read_text()


def test_operation_page_names_settings_that_exist() -> None:
    page = (ROOT / "docs" / "operation.md").read_text()
    named = set(re.findall(r"GAN_[A-Z_]+", page))
    assert named - set(known_variables()) == set()


@needs_promtool
def test_each_alert_fires_when_it_should_and_none_while_all_is_well() -> None:
    folder = DEPLOY / "prometheus"
    tests = yaml.safe_load((folder / "alerts_test.yml").read_text())["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    names = {rule["alert"] for rule in ALERTS}
    assert {check["alertname"] for check in checks if "exp_alerts" in check} == names
    assert {check["alertname"] for check in checks if "exp_alerts" not in check} == names
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            [str(PROMTOOL), *words], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_notices_an_alert_that_does_not_fire(tmp_path: Path) -> None:
    for name in ("alerts.yml", "alerts_test.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path)
    rules = tmp_path / "alerts.yml"
    rules.write_text(rules.read_text().replace('up{job="ganserve"} == 0', 'up{job="other"} == 0'))
    words = [str(PROMTOOL), "test", "rules", "alerts_test.yml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "GanserveDown" in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
def test_every_panel_shows_something_in_prometheus(generator_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    with service(generator_folder) as (_, address):
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [
                {
                    "job_name": "ganserve",
                    "static_configs": [{"targets": [address.removeprefix("http://")]}],
                }
            ],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        words = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        words.append(f"--web.listen-address=127.0.0.1:{port}")
        seeds = itertools.count()

        def shown() -> bool:
            """Asks for pictures and more, and then whether that is seen."""
            for seed in itertools.islice(seeds, 10):
                for path in (f"/generate?seed={seed // 2}", "/nothing"):
                    with suppress(urllib.error.HTTPError):
                        urllib.request.urlopen(address + path, timeout=TIMEOUT).close()
            empty = [query for query in QUERIES if not result(port, query)]
            return empty == ["ganserve_device_memory_bytes" + SELECTOR]  # there is no GPU

        with subprocess.Popen([str(PROMETHEUS), *words], stderr=subprocess.DEVNULL) as prometheus:
            try:
                wait_until(shown, "every panel shows something")
            finally:
                prometheus.kill()


def result(port: int, query: str) -> list[Any]:
    """Returns what Prometheus has for a query of the dashboard; a wrong one is an HTTPError."""
    query = query.replace("$__rate_interval", "60s").replace("$instance", ".*")
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return list(json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as error:
        if error.code != 503:  # it starts
            raise
    except OSError:
        pass
    return []
