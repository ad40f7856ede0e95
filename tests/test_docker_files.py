"""The docker kind without an engine: what its files say, and what people are told."""

from __future__ import annotations

import gc
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from faults.cluster import ClusterError
from harness.cluster import compose

docker_kind = pytest.importorskip("harness.cluster.docker")

ROOT = Path(__file__).resolve().parents[1]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
NAME = re.compile(r"[A-Za-z0-9-]+")


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_engine_that_is_not_there_is_one_sentence_and_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for _ in range(2):  # the second finds no lock and no record of the first
        with pytest.raises(ClusterError, match="Docker engine does not answer; start it") as caught:
            docker_kind.DockerCluster(3).__enter__()
        assert "\n" not in str(caught.value)
    del caught
    gc.collect()  # the SDK leaves its sockets to the garbage collector, whose warnings are to be this test's own affair


def test_more_replicas_than_the_file_has_are_refused() -> None:
    with pytest.raises(ClusterError, match="has 5 replicas, not 6"):
        docker_kind.DockerCluster(6)


def test_the_compose_file_is_found_in_the_checkout_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert compose.compose_file() == ROOT / "docker-compose.yml"


def test_every_port_is_published_on_this_machine_only_and_below_the_ephemeral_ones() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(set(ports)) == 11
    for port in ports:
        host, outside, _ = port.split(":")
        assert host == "127.0.0.1"
        assert 28000 <= int(outside) < 32768


def test_every_container_is_confined() -> None:
    assert set(SERVICES) == {"toxiproxy", "n1", "n2", "n3", "n4", "n5"}
    for name, service in SERVICES.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "no"
        assert service["healthcheck"]["test"]
        assert service["labels"] == {docker_kind.LABEL: name}


def test_the_image_installs_what_the_project_depends_on_and_no_more() -> None:
    def names(lines: list[str]) -> set[str]:
        return {found.group().lower() for line in lines if not line.startswith("#") and (found := NAME.match(line))}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    image = (ROOT / "node" / "requirements.txt").read_text("utf-8").splitlines()
    assert names(image) <= names(project["dependencies"])
    assert {line for line in image if not line.startswith("#")} <= set(project["dependencies"])


@pytest.mark.parametrize(
    "complaint",
    [
        "Error starting userland proxy: listen tcp4 127.0.0.1:28001: bind: address already in use",
        "Error response from daemon: Bind for 127.0.0.1:28001 failed: port is already allocated",
        "Error response from daemon: failed to bind host port 127.0.0.1:28001/tcp: address already in use",
    ],
)
def test_a_port_that_is_taken_is_named(complaint: str) -> None:
    printed = (
        f"Creating n1 ... done\nERROR: for toxiproxy  {complaint}\nEncountered errors while bringing up the project.\n"
    )
    assert compose._reason(printed).startswith("the port 127.0.0.1:28001 is taken: ")
