"""The kind `docker`: the containers of docker-compose.yml, through the docker SDK.

If they are up they are used and stay up, healed and healthy; if not they are brought up and taken down again. What is
where (published ports, the token) is read back from the containers, so the compose file is the only place that says it.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import requests

from faults.cluster import CLIENT, ClusterError, Link, NetworkError, Ping, ReplicaState
from faults.toxiproxy import ProxyAddress, ToxiproxyNetwork, wait_for_server
from harness.cluster import compose
from harness.cluster.http_cluster import READY_SECONDS, HttpCluster
from harness.cluster.leftovers import Record, hold
from harness.cluster.replica_api import ReplicaApi, ping_from_here
from node.protocol import replica_number

try:
    import docker
    from docker.errors import APIError, DockerException, NotFound
except ImportError as error:
    raise ClusterError('the docker SDK is not installed: pip install "rashomon[docker]"') from error

logger = logging.getLogger(__name__)

LABEL = "rashomon.part"
"""On every container of the compose file: `n1` ... `n5` or `toxiproxy`."""
TOXIPROXY = "toxiproxy"
HOST = "127.0.0.1"
PUBLIC_PORT, CONTROL_PORT, API_PORT = 8000, 8001, 8474
_HEALTHY_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Container:
    """One container, as the engine tells it now."""

    id: str
    part: str
    project: str
    running: bool
    paused: bool
    health: str
    """`healthy`, `starting`, `unhealthy`, or `none` for one without a health check."""
    exit_code: int
    ports: Mapping[int, int]
    """Published on 127.0.0.1: by the port inside, also while it is down."""
    inside: str
    """Its address in the containers' own network; empty while it is down."""
    token: str
    """The replica's RASHOMON_TOKEN; empty for the proxies' server."""

    @property
    def state(self) -> ReplicaState:
        return "paused" if self.paused else "up" if self.running else "down"


class Engine:
    """The few things that the cluster asks of the Docker engine; its errors come as `ClusterError`."""

    def __init__(self) -> None:
        with _sentences("the Docker engine does not answer; start it, or use --cluster local"):
            self._client = docker.from_env(timeout=30)  # asks for the engine's version, so it has to be there

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def has_image(self, name: str) -> bool:
        with _sentences(f"the image {name} could not be looked up"):
            return bool(self._client.api.images(name))

    def containers(self) -> dict[str, Container]:
        """The compose file's containers by part, running or not. Raises `ClusterError` if two projects have them."""
        with _sentences("the containers could not be listed"):
            listed = self._client.api.containers(all=True, filters={"label": LABEL})
            found = [self.container(entry["Id"]) for entry in listed]
        projects = sorted({container.project for container in found})
        if len(projects) > 1:
            raise ClusterError(
                f"the compose file is up more than once, as {' and '.join(projects)}: "
                f"take one down with `docker compose -p {projects[-1]} down -v`"
            )
        return {container.part: container for container in found}

    def container(self, identifier: str) -> Container:
        with _sentences("a container could not be inspected"):
            return _read(self._client.api.inspect_container(identifier))

    def call(self, operation: str, container: Container) -> None:
        """`kill`, `start`, `pause` or `unpause` a container."""
        with _sentences(f"docker {operation} {container.part} failed"):
            getattr(self._client.api, operation)(container.id)

    def logs(self, container: Container, since: float) -> bytes:
        with _sentences(f"the log of {container.part} could not be read"):
            return bytes(self._client.api.logs(container.id, since=int(since), stdout=True, stderr=True))

    def last_line(self, container: Container) -> str:
        with _sentences(f"the log of {container.part} could not be read"):
            text = bytes(self._client.api.logs(container.id, tail=1)).decode("utf-8", "replace")
        return text.strip()


class DockerCluster(HttpCluster):
    """Up to five replicas; there is one such cluster on a machine."""

    kind = "docker"

    def __init__(self, replicas: int) -> None:
        if replicas > compose.MOST_REPLICAS:
            raise ClusterError(
                f"{compose.FILE} has {compose.MOST_REPLICAS} replicas, not {replicas}: use fewer, or --cluster local"
            )
        super().__init__(replicas)
        self._engine: Engine | None = None
        self._lock: IO[str] | None = None
        self._record: Record | None = None
        self._containers: dict[str, Container] = {}
        self._since = time.time()

    # Life

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException as error:
            self._take_down()
            if isinstance(error, NetworkError):
                raise ClusterError(f"the links could not be set up: {error}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._take_down()
        except ClusterError as trouble:
            logger.warning("the containers were not left as they were found: %s", trouble)

    def leave_running(self) -> None:
        """Leave the containers up for good: the record of what to take down is forgotten."""
        if self._record:
            self._record.end()
            self._record = None
        self._close()

    def mend(self, project: str) -> None:
        """Bring containers that a run left in any state back to health, and leave them up."""
        try:
            self._lock = claim()
            self._engine = Engine()
            self._bring_up(project, self._lacking())
            self._connect()
            self._leave_healthy()
        except NetworkError as error:
            raise ClusterError(f"the links could not be cleared: {error}") from error
        finally:
            self._close()

    @property
    def parts(self) -> tuple[str, ...]:
        return (TOXIPROXY, *self.replicas)

    def _start(self) -> None:
        self._lock = claim()
        self._engine = engine = Engine()
        found = engine.containers()
        project = next((container.project for container in found.values()), compose.PROJECT)
        was_up = any(container.state != "down" for container in found.values())
        lacking = self._lacking()
        self._record = Record.begin("docker", **Remains(project, was_up, lacking, self.parts).as_facts())
        self._bring_up(project, lacking)
        self._since = time.time()
        self._connect()

    def _lacking(self) -> list[str]:
        """The parts that have to be started."""
        found = self._the_engine.containers()
        return [part for part in self.parts if part not in found or found[part].state == "down"]

    def _bring_up(self, project: str, parts: Sequence[str]) -> None:
        """Start these parts, with the token of those that are there, and let all run."""
        engine = self._the_engine
        found = engine.containers()
        for container in found.values():
            if container.state == "paused":
                engine.call("unpause", container)
        if parts:
            tokens = [container.token for container in found.values() if container.token]
            compose.up(project, parts, {"RASHOMON_TOKEN": tokens[0] if tokens else secrets.token_hex(16)})
            found = engine.containers()
        self._containers = {part: found[part] for part in self.parts}

    def _connect(self) -> None:
        self._apis = {
            replica: ReplicaApi(
                replica,
                HOST,
                self._containers[replica].ports[CONTROL_PORT],
                self._containers[replica].token,
            )
            for replica in self.replicas
        }
        port = self._containers[TOXIPROXY].ports[API_PORT]
        wait_for_server(HOST, port, timeout_seconds=READY_SECONDS)
        self._network = ToxiproxyNetwork(HOST, port, self._proxies(), restart=self._restart_proxies)
        self._network.create()
        self._wait_until_answering(self.replicas)

    def _take_down(self) -> None:
        """Undo what `_start` did. What fails stays on record, so that the next command tries again."""
        try:
            if self._record:
                remains = Remains.of(self._record.facts)
                try:
                    if remains.was_up and self._network:
                        self._leave_healthy()
                finally:
                    self._let_go_of_network()
                    remains.remove_what_was_added()
                self._record.end()
        finally:
            self._record = None
            self._close()

    def _leave_healthy(self) -> None:
        """As it was found: everything runs, no link is harmed, and the engine says so too."""
        self._make_whole()
        deadline = time.monotonic() + _HEALTHY_SECONDS
        for part in self._containers:
            while self._now(part).health not in ("healthy", "none"):
                if time.monotonic() > deadline:
                    raise ClusterError(f"{part} did not become healthy again: see `docker logs`")
                time.sleep(_POLL_SECONDS)

    def _let_go_of_network(self) -> None:
        """Before containers are removed: else its watchdog would start the proxies' server again."""
        if self._network:
            self._network.detach()
            self._network = None

    def _close(self) -> None:
        self._let_go_of_network()
        if self._engine:
            self._engine.close()
            self._engine = None
        if self._lock:
            self._lock.close()
            self._lock = None

    # Addresses

    def client_port(self, replica: str) -> int:
        return self._containers[TOXIPROXY].ports[_listen_port(Link(CLIENT, replica))]

    def peer_url(self, link: Link) -> str:
        return f"http://{TOXIPROXY}:{_listen_port(link)}"

    def _proxies(self) -> dict[Link, ProxyAddress]:
        # Listening on [::] takes IPv4 as well; real Toxiproxy restarts a proxy at each /populate that says 0.0.0.0.
        return {link: ProxyAddress(f"[::]:{_listen_port(link)}", f"{link.target}:{PUBLIC_PORT}") for link in self.links}

    # Replicas

    def ping(self, link: Link, timeout_seconds: float) -> Ping:
        ping = super().ping(link, timeout_seconds)
        return self._behind_forwarding(ping) if link.source == CLIENT and ping.outcome == "closed" else ping

    def _behind_forwarding(self, ping: Ping) -> Ping:
        """Tell a refusal from a cut connection.

        The engine forwards published ports with a program of its own, which takes every connection and closes it again
        when the container refuses. So this asks the container itself, where the engine's network can be reached from
        here (on Linux); elsewhere a refusal stays a cut.
        """
        proxies = self._now(TOXIPROXY)
        if not proxies.inside:
            return ping
        direct = ping_from_here(ping.link, proxies.inside, _listen_port(ping.link), timeout_seconds=1.0)
        if direct.outcome != "refused":
            return ping
        return Ping(ping.link, "refused", ping.seconds, "seen in the containers' network; clients see a cut connection")

    def state(self, replica: str) -> ReplicaState:
        return self._now(replica).state

    def pause(self, replica: str) -> None:
        with self._locks[replica]:
            if self.state(replica) == "up":
                self._the_engine.call("pause", self._containers[replica])

    def resume(self, replica: str) -> None:
        with self._locks[replica]:
            if self.state(replica) == "paused":
                self._the_engine.call("unpause", self._containers[replica])

    def save_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        trouble: ClusterError | None = None
        for part, container in self._containers.items():
            try:
                (folder / f"{part}.log").write_bytes(self._the_engine.logs(container, self._since))
            except ClusterError as error:  # the others' are worth having
                trouble = error
        if trouble:
            raise trouble

    def _kill_replica(self, replica: str) -> None:
        if self.state(replica) == "down":
            return
        self._the_engine.call("kill", self._containers[replica])
        deadline = time.monotonic() + _STOP_SECONDS
        while self.state(replica) != "down":
            if time.monotonic() > deadline:
                raise ClusterError(f"{replica} is not gone {_STOP_SECONDS:.0f} s after docker kill")
            time.sleep(_POLL_SECONDS)

    def _start_replica(self, replica: str) -> None:
        self._the_engine.call("start", self._containers[replica])

    def _obituary(self, replica: str) -> str:
        last = self._the_engine.last_line(self._containers[replica])
        how = f"exit code {self._now(replica).exit_code}"
        return f"{how}; its last words: {last}" if last else how

    def _restart_proxies(self) -> None:
        """For the network's watchdog, when the server has died or hangs."""
        container = self._containers[TOXIPROXY]
        if self._now(TOXIPROXY).running:
            self._the_engine.call("kill", container)
        self._the_engine.call("start", container)
        wait_for_server(HOST, container.ports[API_PORT], timeout_seconds=READY_SECONDS)

    def _now(self, part: str) -> Container:
        return self._the_engine.container(self._containers[part].id)

    @property
    def _the_engine(self) -> Engine:
        if self._engine is None:
            raise ClusterError("the cluster is not up")
        return self._engine


@dataclass(frozen=True)
class Remains:
    """What a run has to undo at its end, or `leftovers.sweep` in its place."""

    project: str
    was_up: bool
    """Whether anything of the project was up before: then only `added` goes."""
    added: Sequence[str]
    """The parts that the run started."""
    parts: Sequence[str]
    """The parts that it used."""

    def as_facts(self) -> dict[str, Any]:
        return {"project": self.project, "was_up": self.was_up, "added": [*self.added], "parts": [*self.parts]}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Remains:
        return cls(str(facts["project"]), bool(facts["was_up"]), list(facts["added"]), list(facts["parts"]))

    def remove_what_was_added(self) -> None:
        if not self.was_up:
            compose.down(self.project)
        else:
            compose.remove(self.project, self.added)


def clean_up_after(facts: Mapping[str, Any]) -> str:
    """Mend or remove the containers of a run that was killed; says what was done. Raises `ClusterError`."""
    remains = Remains.of(facts)
    if not remains.was_up:
        compose.down(remains.project)
        return "took its containers down"
    DockerCluster(len(remains.parts) - 1).mend(remains.project)
    remains.remove_what_was_added()
    return "its containers run again and every link is clear"


def look() -> Iterator[tuple[str, Container, int, ReplicaApi]]:
    """Every replica that has a container now: its name, the container, its clients' port, its control port."""
    with Engine() as engine:
        found = engine.containers()
    if TOXIPROXY not in found:
        return
    for part in sorted(found.keys() - {TOXIPROXY}, key=replica_number):
        container = found[part]
        api = ReplicaApi(part, HOST, container.ports[CONTROL_PORT], container.token)
        yield part, container, found[TOXIPROXY].ports[_listen_port(Link(CLIENT, part))], api


def take_down() -> str:
    """Remove the containers, the network and the volumes, whoever brought them up; says what was done.

    Raises `ClusterError` while a run is using them.
    """
    with claim():
        with Engine() as engine:
            found = engine.containers()
        compose.down(next((container.project for container in found.values()), compose.PROJECT))
    return f"removed {len(found)} containers, their network and volumes" if found else "no docker cluster is up"


def claim() -> IO[str]:
    """The right to change the containers, for one process at a time; close it to give it back."""
    lock = hold("docker")
    if lock is None:
        raise ClusterError("another rashomon command is using the docker cluster: wait for it, or use --cluster local")
    return lock


def _listen_port(link: Link) -> int:
    """Inside the proxies' container: 28001 for `client->n1`, 21012 for `n1->n2`."""
    target = replica_number(link.target)
    return 28000 + target if link.source == CLIENT else 21000 + 10 * replica_number(link.source) + target


def _read(raw: Mapping[str, Any]) -> Container:
    labels = raw["Config"]["Labels"]
    bindings: Mapping[str, Any] = raw["HostConfig"]["PortBindings"] or {}
    state = raw["State"]
    return Container(
        id=raw["Id"],
        part=labels[LABEL],
        project=labels.get("com.docker.compose.project", compose.PROJECT),
        running=state["Running"],
        paused=state["Paused"],
        health=(state.get("Health") or {}).get("Status", "none"),
        exit_code=state["ExitCode"],
        ports={int(inside.partition("/")[0]): int(outside[0]["HostPort"]) for inside, outside in bindings.items()},
        inside=next((str(network["IPAddress"]) for network in raw["NetworkSettings"]["Networks"].values()), ""),
        token=dict(entry.partition("=")[::2] for entry in raw["Config"]["Env"] or ()).get("RASHOMON_TOKEN", ""),
    )


@contextlib.contextmanager
def _sentences(what: str) -> Iterator[None]:
    """Everything that the SDK raises, as one sentence."""
    try:
        yield
    except NotFound as error:
        raise ClusterError(f"{what}: the container is gone; somebody removed it") from error
    except (APIError, DockerException, requests.RequestException) as error:
        raise ClusterError(f"{what}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The engine's own words, or what the operating system said, on one line."""
    words = getattr(error, "explanation", None)
    cause: BaseException | None = error
    while not words and cause is not None:
        words = cause.strerror.lower() if isinstance(cause, OSError) and cause.strerror else None
        cause = cause.__cause__ or cause.__context__
    return str(words or error).strip().partition("\n")[0] or type(error).__name__
