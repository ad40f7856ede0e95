"""docker-compose.yml from Python: `docker compose`, or the older `docker-compose`, whichever this machine has."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from faults.cluster import ClusterError

FILE = "docker-compose.yml"
MOST_REPLICAS = 5
"""How many the file has."""
PROJECT = "rashomon"
"""What a cluster is called that was brought up by the harness; one that was up keeps the name it has."""
_TAKEN = re.compile(r"([0-9.]+:\d+).*(?:address already in use|port is already allocated)")
_UP_SECONDS = 900
"""The first `up` may pull or build images."""
_DOWN_SECONDS = 120


def compose_file() -> Path:
    """The project's compose file: in the checkout that this code runs from, or in the present folder."""
    for folder in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (folder / FILE).is_file():
            return folder / FILE
    raise ClusterError(f"there is no {FILE} here: run the command in a checkout of Rashomon")


def up(project: str, services: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start these services, and leave those that run as they are; raises `ClusterError` with compose's own reason."""
    _compose(project, ["up", "--detach", "--no-recreate", *services], environment, _UP_SECONDS)


def down(project: str) -> None:
    """Stop and remove the project's containers, networks and volumes, at once; nothing happens if there are none."""
    _compose(project, ["down", "--volumes", "--remove-orphans", "--timeout", "0"], {}, _DOWN_SECONDS)


def remove(project: str, services: Sequence[str]) -> None:
    """Remove these services' containers and volumes alone."""
    if services:
        _compose(project, ["rm", "--force", "--stop", "-v", *services], {}, _DOWN_SECONDS)


def images() -> list[str]:
    """The images that the compose file asks for in this environment."""
    services = yaml.safe_load(_compose(PROJECT, ["config"], {}, _DOWN_SECONDS))["services"]
    return sorted({str(service["image"]) for service in services.values()})


def _compose(project: str, arguments: Sequence[str], environment: Mapping[str, str], timeout_seconds: float) -> str:
    """What compose prints; raises `ClusterError` with its own reason if it fails."""
    file = compose_file()
    command = [*_command(), "--project-name", project, "--file", str(file), *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        cwd=file.parent,
        # Ctrl-C is for the harness, which then takes down what this call brings up.
        start_new_session=True,
    )
    try:
        output, complaints = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"docker compose {arguments[0]} did not end within {timeout_seconds:.0f} s") from error
    finally:
        if process.poll() is None:
            # The whole group: compose works in a process of its own, which would go on starting containers.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        raise ClusterError(f"docker compose {arguments[0]} failed: {_reason(complaints)}")
    return output


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Encountered errors")]  # the older one's way to end
    telling = [line for line in lines if "error" in line.lower() or "denied" in line.lower()] or lines
    reason = telling[-1] if telling else "it did not say why"
    if taken := _TAKEN.search(reason):
        return f"the port {taken[1]} is taken: end what listens there, or use --cluster local"
    if "image" in reason.lower() or "pull" in reason.lower() or "lookup" in reason.lower():
        return f"{reason} (if an image is missing: run `make images`)"
    return reason


@cache
def _command() -> tuple[str, ...]:
    if shutil.which("docker"):
        probe = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False)
        if probe.returncode == 0:
            return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise ClusterError(
        "neither `docker compose` nor `docker-compose` is here: install one of them, or use --cluster local"
    )
