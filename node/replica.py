"""A replica through its lives: provisioned, killed, back again with what it had, wiped and provisioned anew.

Its folder holds two files. `provision.json` says what the replica runs and how often it has started since (its
incarnation); `journal` is what the protocol has made durable. Wiping removes the provision first and writes it last, so
that a kill in between leaves a replica that knows it has nothing, and never one that has forgotten something.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from node.clock import SkewableClock
from node.durable import remove_file, replace_file
from node.flaws import flawed
from node.journal import Journal
from node.links import Pinged, Sender, check_address, ping
from node.machine import Machine
from node.machines import MACHINES
from node.protocol import Protocol, ProtocolOptions
from node.protocols import PROTOCOLS
from node.registry import UnknownName
from node.runtime import Crash, Runtime, crash, incarnation_random

log = logging.getLogger(__name__)

ReplicaName = Annotated[str, StringConstraints(pattern=r"^n[1-9][0-9]{0,3}$")]


class BadProvision(ValueError):
    """A provision that makes no sense; the message is one sentence."""


class ProvisionCorrupt(Exception):
    """What the replica had been told to run can't be read any more; the message is one sentence."""


class Provision(BaseModel):
    """What a replica is to run: the body of `POST /control/provision`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = Field(min_length=1)
    protocol: str
    options: dict[str, Any] = Field(default_factory=dict)
    flaws: tuple[str, ...] = Field(default=(), description="mistakes to be made: see node.flaws")
    machine: str
    seed: int
    replicas: tuple[ReplicaName, ...] = Field(min_length=1)
    peers: dict[ReplicaName, str] = Field(default_factory=dict, description="where each other replica is reached")


class Hosted:
    """A provision that makes sense, with everything that it names."""

    def __init__(self, id: str, provision: Provision) -> None:
        """Raises `BadProvision`."""
        others = sorted(set(provision.replicas) - {id})
        if id not in provision.replicas:
            raise BadProvision(f"{id} is not among the replicas {_listed(provision.replicas)}")
        if sorted(provision.peers) != others:
            raise BadProvision(f"the peers of {id} must be {_listed(others)}, and are {_listed(provision.peers)}")
        try:
            for address in provision.peers.values():
                check_address(address)
            self.protocol: type[Protocol] = _class_named(PROTOCOLS[provision.protocol], Protocol, provision.protocol)
            self.protocol = flawed(provision.protocol, provision.flaws)
            self.machine: type[Machine] = _class_named(MACHINES[provision.machine], Machine, provision.machine)
            self.options: ProtocolOptions = self.protocol.Options.model_validate(provision.options)
        except ValidationError as error:
            raise BadProvision(f"options of {provision.protocol}: {first_problem(error)}") from error
        except (UnknownName, ValueError) as error:
            raise BadProvision(str(error)) from error
        self.provision = provision


class Life(NamedTuple):
    """What a replica runs from one start to its end."""

    provision: Provision
    runtime: Runtime
    machine: Machine


class Replica:
    """One replica. Safe to use from many threads."""

    def __init__(self, id: str, folder: Path, crash: Crash = crash) -> None:
        self.id = id
        self.life: Life | None = None
        """None before the first provision, and while the replica is being provisioned anew."""
        self._clock = SkewableClock()
        self._crash = crash
        self._provision_file = folder / "provision.json"
        self._journal_file = folder / "journal"
        self._began = time.monotonic()
        self._changing = threading.Lock()

    def come_back(self) -> None:
        """Run again what ran when the process ended; nothing if it was never provisioned, or wiped.

        Raises `ProvisionCorrupt`, `JournalCorrupt`, or `BadProvision` if what it names is gone.
        """
        with self._changing:
            try:
                saved = self._provision_file.read_bytes()
            except FileNotFoundError:
                return
            try:
                content = json.loads(saved)
                incarnation = int(content["incarnation"]) + 1
                provision = Provision.model_validate(content["provision"])
            except (ValueError, KeyError, TypeError) as error:
                raise ProvisionCorrupt(
                    f"{self._provision_file}: cannot be read any more: provision the replica anew in an empty folder"
                ) from error
            hosted = Hosted(self.id, provision)
            self._save(provision, incarnation)
            self._run(hosted, incarnation)

    def provision(self, provision: Provision) -> None:
        """Wipe everything and run this. Raises `BadProvision`, and has changed nothing then."""
        hosted = Hosted(self.id, provision)
        with self._changing:
            self._stop()
            remove_file(self._provision_file)
            Journal.create(self._journal_file).close()
            self._save(provision, 1)
            self._clock = SkewableClock()
            self._run(hosted, 1)

    def set_clock(self, offset_seconds: float, rate: float) -> None:
        """Skew the replica's clock. Raises `ValueError` for a rate that isn't above 0."""
        with self._changing:
            self._clock.set(offset_seconds, rate)
            if self.life is not None:
                self.life.runtime.wake()

    def ping(self, peer: str, timeout_seconds: float) -> Pinged:
        """Ping a peer over this replica's own link to it. Raises `KeyError` if there is no such peer."""
        peers = self.life.provision.peers if self.life else {}
        return ping(peers[peer], timeout_seconds)

    def stop(self) -> None:
        """Stop what runs. It comes back with the next start of the process."""
        with self._changing:
            self._stop()

    def status(self) -> dict[str, Any]:
        """As in `docs/http.md`. Raises `Busy`."""
        life = self.life
        told: dict[str, Any] = dict.fromkeys(
            ("run", "protocol", "machine", "role", "leader", "term", "log_index", "commit_index", "digest", "details")
        )
        host: dict[str, Any] = {
            "uptime_seconds": round(time.monotonic() - self._began, 3),
            "clock": {"offset_seconds": self._clock.offset_seconds, "rate": self._clock.rate},
            "clock_seconds": self._clock.now(),
        }
        if life is not None:
            provision, runtime, _ = life
            told |= {"run": provision.run, "protocol": provision.protocol, "machine": provision.machine}
            told |= {"details": {}} | runtime.protocol_status()
            host |= runtime.host_status()
        return {"id": self.id, **told, "host": host}

    def _save(self, provision: Provision, incarnation: int) -> None:
        content = {"incarnation": incarnation, "provision": provision.model_dump(mode="json")}
        replace_file(self._provision_file, json.dumps(content, indent=1).encode())

    def _run(self, hosted: Hosted, incarnation: int) -> None:
        provision = hosted.provision
        journal, records = Journal.open(self._journal_file)
        if journal.cut_bytes:
            log.warning("cut the last %d bytes of the journal: a write that was never confirmed", journal.cut_bytes)
        links = {peer: Sender(provision.run, self.id, peer, address) for peer, address in provision.peers.items()}
        machine = hosted.machine()
        runtime = Runtime(
            self.id,
            hosted.protocol,
            hosted.options,
            machine,
            journal=journal,
            links=links,
            clock=self._clock,
            seeded=incarnation_random(provision.seed, self.id, incarnation),
            crash=self._crash,
        )
        runtime.start(records)
        self.life = Life(provision, runtime, machine)
        log.info(
            "runs %s%s with machine %s, run %s, incarnation %d, %d records in its journal",
            provision.protocol,
            f" with flaws {', '.join(provision.flaws)}" if provision.flaws else "",
            provision.machine,
            provision.run,
            incarnation,
            len(records),
        )

    def _stop(self) -> None:
        life, self.life = self.life, None
        if life is not None:
            life.runtime.stop()


def _class_named(found: Any, kind: type[Any], name: str) -> Any:
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise BadProvision(f"{name!r} is not a {kind.__name__.lower()}")
    return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def first_problem(error: ValidationError) -> str:
    """What is wrong first, in one sentence: `heartbeat: Extra inputs are not permitted`."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = re.sub(r"\s+", " ", problem["msg"])
    return f"{place}: {message}" if place else message
