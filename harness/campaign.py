"""Campaigns: a YAML file becomes cells, each a `RunSpec` with every default filled in.

The whole language, by example::

    name: storms                    # default: the file's name
    description: One sentence.
    cluster: local                  # or docker, or simulated
    replicas: 5
    duration_seconds: 30            # how long clients and nemesis work
    protocols:                      # an axis of the matrix: a name, or a name with options
      - multi-paxos
      - primary-backup: {acknowledge: none}
      - multi-paxos: {flaws: [promise-not-persisted]} # mistakes to be made: see `rashomon list flaws`
    workloads: [register]           # an axis
    faults:                         # an axis: each item is one nemesis
      - none
      - partition                                     # a fault with its defaults, again and again
      - kill: {target: leader, every_seconds: 5, for_seconds: 2}
      - everything: [partition, kill, pause, latency] # a name of yours: side by side, overlapping
      - dice:                                         # a name of yours: one of them at a time, by weight
          mix: [partition, {kill: {weight: 3}}]
          every_seconds: 4
    seeds: [1, 2]                   # an axis; a single number is one seed
    expect: valid                   # or violation, or unknown
    clients: {processes: 10, rate_per_second: 100, mode: leader, timeout_seconds: 2, attempts: 3}
    minimum_operations: 50
    checks: {time_limit_seconds: 60}
    simulation: {delay_ms: 5, lost: 0.01}                 # the world of a simulated cluster: see docs/simulation.md
    script: {name: ..., operations: [...], faults: [...]} # one by one, instead of drawn: see docs/campaigns.md
    explore: {replicas: [3, 5], weather: false}    # for `rashomon explore`: what it may draw

Every combination of the axes is a cell. Where cells differ in more, `cells` lists them; each entry may hold any of the
keys above, is a matrix of its own, and takes what it doesn't say from the top of the file::

    cells:
      - {protocols: {primary-backup: {acknowledge: none}}, faults: kill, expect: violation}
      - {protocols: multi-paxos, faults: kill}

A fault takes its own options and those of its schedule: `every_seconds` and `first_seconds`, or `at_seconds` (a list of
fixed times); `for_seconds` until it is healed; `weight` inside a `mix`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from faults.catalogue import FAULTS
from faults.fault import Setting
from harness.campaign_script import CampaignScript
from harness.checkers import CHECKERS
from harness.cluster.compose import MOST_REPLICAS
from harness.spec import (
    ChecksSpec,
    Choice,
    ClientsSpec,
    ExploreSpec,
    Named,
    NemesisSpec,
    ProtocolSpec,
    RunSpec,
    ScriptSpec,
    SimulationSpec,
    Stream,
    Verdict,
)
from harness.workloads import WORKLOADS
from harness.workloads.workload import Workload
from harness.yaml_lines import Document, Place, read_document
from node.flaws import flawed
from node.machines import MACHINES
from node.protocols import PROTOCOLS
from node.registry import UnknownName, unknown

LATEST = "latest"
"""Beside the folders of campaigns, the name of the link to the newest run."""
_SCHEDULE = ("every_seconds", "first_seconds", "at_seconds", "for_seconds", "weight")
_AXES = ("protocols", "workloads", "faults", "seeds")


class _Entry(BaseModel):
    """What the top of a campaign and each of its `cells` may say. The axes are read by hand below."""

    model_config = ConfigDict(extra="forbid", strict=True)

    protocols: Any = None
    workloads: Any = None
    faults: Any = None
    seeds: Any = None
    expect: Verdict = "valid"
    cluster: Literal["local", "docker", "simulated"] = "local"
    replicas: int = Field(default=5, ge=1, le=25)
    machine: str | None = None
    duration_seconds: float = Field(default=20.0, gt=0, le=86_400)
    recovery_seconds: float = Field(default=20.0, gt=0, le=3_600)
    minimum_operations: int = Field(default=50, ge=0)
    clients: ClientsSpec = Field(default_factory=ClientsSpec)
    checks: ChecksSpec = Field(default_factory=ChecksSpec)
    simulation: SimulationSpec = Field(default_factory=SimulationSpec)
    explore: ExploreSpec | None = None
    script: ScriptSpec | None = None


class _File(_Entry):
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=80)
    description: str = ""
    cells: list[_Entry] = Field(default_factory=list)


class Overrides(BaseModel):
    """What the command line changes in every cell; None leaves the campaign's word."""

    cluster: Literal["local", "docker", "simulated"] | None = None
    seed: int | None = None
    duration_seconds: float | None = None
    replicas: int | None = None
    faults_unless_said: list[Any] | None = None
    """The axis of faults for a campaign that has none."""

    def apply(self, entry: dict[str, Any]) -> dict[str, Any]:
        changes = self.model_dump(exclude_none=True)
        if "faults_unless_said" in changes:
            entry = {"faults": changes.pop("faults_unless_said"), **entry}
        if entry.get("script"):  # its times and its replicas are its own
            changes = {key: value for key, value in changes.items() if key not in ("duration_seconds", "replicas")}
        if "seed" in changes:
            changes["seeds"] = changes.pop("seed")
        return {**entry, **changes}


def load_campaign(path: Path, overrides: Overrides | None = None) -> list[RunSpec]:
    """The cells of a campaign file, resolved, in the order of the file.

    Raises `harness.errors.BadInput`, one sentence with file and line, for anything in it that can't be meant.
    """
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise document.error("a campaign is a mapping such as `protocols: [multi-paxos]`; this file is not")
    _validate(document, _File, document.data, ())
    top = {key: value for key, value in document.data.items() if key not in ("name", "description", "cells")}
    name = document.data.get("name") or path.stem
    if name == LATEST:
        raise document.error(f"results/{LATEST} points to the newest run: give the campaign another `name`", ("name",))
    entries: list[tuple[dict[str, Any], Place]] = [(top, ())]
    if document.data.get("cells"):
        entries = [({**top, **entry}, ("cells", number)) for number, entry in enumerate(document.data["cells"])]
    specs: list[RunSpec] = []
    for entry, place in entries:
        reader = _EntryReader(document, place, (overrides or Overrides()).apply(entry))
        specs.extend(reader.cells(name))
    return _with_unique_names(specs)


def _validate(document: Document, model: type[BaseModel], data: Any, place: Place) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _sentence(document, error, place, model) from error


def _sentence(document: Document, error: ValidationError, place: Place, model: type[BaseModel]) -> Exception:
    first = error.errors()[0]
    where = (*place, *first["loc"])
    name = where[-1] if where else "?"
    if first["type"] == "extra_forbidden":
        known: list[str] = list(_fields_at(model, first["loc"][:-1]))
        return document.error(str(unknown("key", str(name), known)), where)
    if isinstance(name, int):
        name = f"item {name + 1}"
    return document.error(f"{name} {first['input']!r:.60}: {_message(first['msg'])}", where)


def _message(message: str) -> str:
    """Pydantic's words, without the names of our classes."""
    plain = re.sub(r"valid dictionary or instance of \w+", "mapping", message)
    return plain[0].lower() + plain[1:]


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> Iterator[str]:
    """The keys that are known at a place inside a model."""
    fields = model.model_fields
    for step in loc:
        if isinstance(step, int):
            continue
        annotation: Any = fields[step].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        fields = inner.model_fields
    yield from fields


class _EntryReader:
    """Reads one entry (the top of the file, or one of `cells`): its own matrix."""

    def __init__(self, document: Document, place: Place, entry: dict[str, Any]) -> None:
        self.document = document
        self.place = place
        self.raw = entry
        self.entry: _Entry = _validate(document, _Entry, entry, place)

    def cells(self, campaign: str) -> Iterator[RunSpec]:
        self._check_cluster()
        script = self._script()
        protocols = [(self._protocol(*item), item[1]) for item in self._items("protocols")]
        workloads = [self._workload(*item) for item in self._items("workloads", ["register"])]
        nemeses = [(self._nemesis(*item), item[1]) for item in self._items("faults", ["none"])]
        if script is not None:
            nemeses = [(NemesisSpec(name=script.script.name), script.place)]
        seeds = [self._seed(*item) for item in self._items("seeds", [1])]
        for (protocol, says), workload, (nemesis, place), seed in itertools.product(
            protocols, workloads, nemeses, seeds
        ):
            self._check_machine(protocol, says, workload, seed)
            self._check_faults(protocol, nemesis, place)
            self._check_explore(protocol)
            spec = self._spec(campaign, protocol, workload, nemesis, seed)
            yield spec if script is None else script.played_by(spec, self._own())

    def _check_cluster(self) -> None:
        entry = self.entry
        if entry.cluster == "docker" and entry.replicas > MOST_REPLICAS:
            sentence = (
                f"the docker cluster has {MOST_REPLICAS} replicas, not {entry.replicas}: use fewer, or cluster local"
            )
            raise self._error(sentence, (*self.place, "replicas") if "replicas" in self._own() else ("replicas",))

    def _check_explore(self, protocol: Named) -> None:
        """What may be drawn has to be values that the protocol's options can have."""
        place: Place = (*self.place, "explore", "options") if "explore" in self._own() else ("explore", "options")
        model = PROTOCOLS[protocol.name].Options
        for name, values in (self.entry.explore or ExploreSpec()).options.items():
            for number, value in enumerate(values):
                try:
                    model.model_validate({**protocol.options, name: value})
                except ValidationError as error:
                    first = error.errors()[0]
                    if first["type"] == "extra_forbidden":
                        sentence = str(unknown(f"option of protocol {protocol.name!r}:", name, model.model_fields))
                        raise self._error(sentence, (*place, name)) from error
                    sentence = f"protocol {protocol.name!r}, {name} {value!r:.60}: {_message(first['msg'])}"
                    raise self._error(sentence, (*place, name, number)) from error

    def _place_of(self, key: str) -> Place:
        """Where a key of this entry stands: in itself, or at the top of the file."""
        return (*self.place, key) if key in self._own() else (key,)

    def _script(self) -> CampaignScript | None:
        script, place = self.entry.script, self._place_of("script")
        if script is None:
            return None
        if {"faults", "script"} <= set(self._own()):
            raise self._error("a script has its faults in itself: remove `faults`", self._place_of("faults"))
        return CampaignScript(script, place, self._error, self._options)

    def _items(self, axis: str, default: list[Any] | None = None) -> list[tuple[Any, Place]]:
        """The items of an axis and where each stands; a single value is an axis of one."""
        value = self.raw.get(axis, default)
        place: Place = (*self.place, axis) if axis in self._own() else (axis,)
        if value is None or value == []:
            raise self._error(f"no {axis}: name at least one, for example `{axis}: [{_example(axis)}]`", place)
        if isinstance(value, list):
            return [(item, (*place, number)) for number, item in enumerate(value)]
        return [(value, place)]

    def _own(self) -> dict[str, Any]:
        data = self.document.data
        for step in self.place:
            data = data[step]
        return dict(data)

    def _error(self, sentence: str, place: Place) -> Exception:
        return self.document.error(sentence, place)

    def _named(self, item: Any, place: Place, kind: str) -> tuple[str, dict[str, Any]]:
        if isinstance(item, str):
            return item, {}
        if isinstance(item, dict) and len(item) == 1:
            name, options = next(iter(item.items()))
            if isinstance(options, dict | None):
                return str(name), options or {}
        raise self._error(f"a {kind} is a name, or a name with options such as `{_example(kind)}`", place)

    def _options(self, model: type[BaseModel], kind: str, name: str, options: dict[str, Any], place: Place) -> None:
        try:
            model.model_validate(options)
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]) if first["loc"] else name
            where = (*place, name, *first["loc"])
            if first["type"] == "extra_forbidden":
                if not model.model_fields:
                    raise self._error(f"{kind} {name!r} takes no options: remove {key!r}", where) from error
                sentence = str(unknown(f"option of {kind} {name!r}:", key, model.model_fields))
                raise self._error(sentence, where) from error
            sentence = f"{kind} {name!r}, {key} {first['input']!r:.60}: {_message(first['msg'])}"
            raise self._error(sentence, where) from error

    def _protocol(self, item: Any, place: Place) -> ProtocolSpec:
        name, given = self._named(item, place, "protocol")
        protocol = self._find(PROTOCOLS, name, place)
        options = {key: value for key, value in given.items() if key != "flaws"}
        self._options(protocol.Options, "protocol", name, options, place)
        return ProtocolSpec(name=name, options=options, flaws=self._flaws(name, given.get("flaws", []), place))

    def _flaws(self, protocol: str, given: Any, place: Place) -> list[str]:
        inside = (*place, protocol, "flaws")
        flaws = [given] if isinstance(given, str) else given
        if not isinstance(flaws, list) or not all(isinstance(flaw, str) for flaw in flaws):
            raise self._error("`flaws` is a list of names such as [sync-skipped]: see `rashomon list flaws`", inside)
        try:
            flawed(protocol, flaws)
        except UnknownName as error:
            raise self._error(str(error), inside) from error
        return flaws

    def _workload(self, item: Any, place: Place) -> Named:
        name, options = self._named(item, place, "workload")
        workload = self._find(WORKLOADS, name, place)
        self._options(workload.Options, "workload", name, options, place)
        return Named(name=name, options=options)

    def _find(self, registry: Any, name: str, place: Place) -> Any:
        try:
            return registry[name]
        except UnknownName as error:
            raise self._error(str(error), place) from error

    def _seed(self, item: Any, place: Place) -> int:
        if isinstance(item, bool) or not isinstance(item, int) or item < 0:
            raise self._error(f"seed {item!r}: a seed is a whole number, 0 or more", place)
        return item

    def _nemesis(self, item: Any, place: Place) -> NemesisSpec:
        if item == "none" or item is None:
            return NemesisSpec()
        if isinstance(item, str):
            return NemesisSpec(name=item, streams=[self._stream(item, place, 0, 1)])
        if not isinstance(item, dict) or len(item) != 1:
            sentence = "a nemesis is `none`, a fault, or a name with a list of faults: `everything: [partition, kill]`"
            raise self._error(sentence, place)
        name, content = next(iter(item.items()))
        inside = (*place, name)
        if isinstance(content, list):
            streams = [
                self._stream(part, (*inside, number), number, len(content)) for number, part in enumerate(content)
            ]
            if not streams:
                raise self._error(f"{name!r} lists no fault: name at least one", inside)
            return NemesisSpec(name=str(name), streams=streams)
        if isinstance(content, dict) and "mix" in content:
            return NemesisSpec(name=str(name), streams=[self._mix(content, inside)])
        if content is not None and not isinstance(content, dict):
            raise self._error(f"{name!r} needs a list of faults, or the options of a fault, as a mapping", inside)
        own = {key: value for key, value in (content or {}).items() if key not in _SCHEDULE}
        return NemesisSpec(name=str(Named(name=str(name), options=own)), streams=[self._stream(item, place, 0, 1)])

    def _stream(self, item: Any, place: Place, number: int, of: int) -> Stream:
        """One fault on its own schedule; without a `first_seconds`, side by side ones begin one after the other."""
        if isinstance(item, dict) and set(item) & {"mix"}:
            return self._mix(item, place)
        choice, schedule = self._choice(item, place)
        every = schedule.get("every_seconds", 6.0)
        if "first_seconds" not in schedule and isinstance(every, int | float):
            schedule["first_seconds"] = round(2.0 + every * number / of, 3)
        return self._make_stream({"choices": [choice], **schedule}, place)

    def _mix(self, content: dict[str, Any], place: Place) -> Stream:
        parts = content["mix"]
        if not isinstance(parts, list) or not parts:
            raise self._error("`mix` is a list of faults", (*place, "mix"))
        choices = []
        for number, part in enumerate(parts):
            choice, schedule = self._choice(part, (*place, "mix", number))
            if schedule:
                sentence = f"{sorted(schedule)[0]} belongs beside `mix`, not inside it"
                raise self._error(sentence, (*place, "mix", number))
            choices.append(choice)
        rest = {key: value for key, value in content.items() if key != "mix"}
        return self._make_stream({"choices": choices, **rest}, place)

    def _make_stream(self, fields: dict[str, Any], place: Place) -> Stream:
        if "at_seconds" in fields and "every_seconds" in fields:
            raise self._error("`every_seconds` and `at_seconds` exclude each other: keep one", place)
        if "at_seconds" in fields:
            fields = {**fields, "every_seconds": None}
        stream: Stream = _validate(self.document, Stream, fields, place)
        if not stream.at_seconds and stream.every_seconds is None:
            raise self._error("a fault needs a schedule: say `every_seconds` or `at_seconds`", place)
        return stream

    def _choice(self, item: Any, place: Place) -> tuple[Choice, dict[str, Any]]:
        """One fault with its options, and what is left of its schedule (`every_seconds`, ...)."""
        name, given = self._named(item, place, "fault")
        if name not in FAULTS:
            raise self._error(str(unknown("fault", name, FAULTS)), place)
        options = {key: value for key, value in given.items() if key not in _SCHEDULE}
        self._options(FAULTS[name].Options, "fault", name, options, place)
        schedule: dict[str, Any] = {
            key: given[key] for key in ("every_seconds", "first_seconds", "at_seconds") if key in given
        }
        fields = {key: given[key] for key in ("for_seconds", "weight") if key in given}
        choice: Choice = _validate(self.document, Choice, {"fault": name, "options": options, **fields}, (*place, name))
        return choice, schedule

    def _check_faults(self, protocol: ProtocolSpec, nemesis: NemesisSpec, place: Place) -> None:
        names = tuple(f"n{number}" for number in range(1, self.entry.replicas + 1))
        chief = PROTOCOLS[protocol.name].chief
        setting = Setting(self.entry.cluster, names, protocol.name, chief)
        for stream in nemesis.streams:
            for choice in stream.choices:
                fault = FAULTS[choice.fault]
                problem = fault(fault.Options.model_validate(choice.options)).applies_to(setting)
                if problem:
                    raise self._error(problem, place)

    def _check_machine(self, protocol: Named, place: Place, workload: Named, seed: int) -> None:
        """A protocol that can't replicate what the workload works on is refused here, and not operation by operation."""
        refusal = PROTOCOLS[protocol.name].refusal
        kind = WORKLOADS[workload.name]
        machine = self._find(MACHINES, self.entry.machine or kind.machine, (*self.place, "machine"))
        problem = refusal(machine)
        if problem:
            others = [name for name in WORKLOADS if not refusal(MACHINES[WORKLOADS[name].machine])]
            remedy = f"; try the workload {others[0]!r}" if others else ""
            raise self._error(f"{problem}{remedy}", place)
        work = kind(kind.Options.model_validate(workload.options), self.entry.clients.processes, seed)
        problem = refusal(machine, sorted(_functions(work)))
        if problem:
            raise self._error(f"{problem}; set that function's weight to 0 in the options of {workload.name!r}", place)

    def _spec(self, campaign: str, protocol: ProtocolSpec, workload: Named, nemesis: NemesisSpec, seed: int) -> RunSpec:
        entry = self.entry
        for checker in entry.checks.checkers:
            self._find(CHECKERS, checker, (*self.place, "checks", "checkers"))
        machine = entry.machine or WORKLOADS[workload.name].machine
        parts = [str(protocol), workload.name, nemesis.name, f"seed {seed}"]
        return RunSpec(
            campaign=campaign,
            cell=", ".join(parts),
            seed=seed,
            cluster=entry.cluster,
            replicas=entry.replicas,
            protocol=protocol.model_copy(
                update={"options": _filled(PROTOCOLS[protocol.name].Options, protocol).options}
            ),
            machine=machine,
            workload=_filled(WORKLOADS[workload.name].Options, workload),
            nemesis=_filled_nemesis(nemesis),
            clients=entry.clients,
            duration_seconds=entry.duration_seconds,
            recovery_seconds=entry.recovery_seconds,
            minimum_operations=entry.minimum_operations,
            checks=entry.checks,
            expect=entry.expect,
            simulation=entry.simulation,
            explore=entry.explore,
        )


def _functions(workload: Workload) -> set[str]:
    """What it plans to call: a hundred operations of a few processes show it."""
    return {workload.plan(process, number)["f"] for process in range(3) for number in range(100)}


def _filled(model: type[BaseModel], named: Named) -> Named:
    return Named(name=named.name, options=model.model_validate(named.options).model_dump(mode="json"))


def _filled_nemesis(nemesis: NemesisSpec) -> NemesisSpec:
    """Every option of every fault with its default, so that a saved run doesn't change when a default does."""

    def filled(choice: Choice) -> Choice:
        options = FAULTS[choice.fault].Options.model_validate(choice.options).model_dump(mode="json")
        return choice.model_copy(update={"options": options})

    streams = [
        stream.model_copy(update={"choices": [filled(choice) for choice in stream.choices]})
        for stream in nemesis.streams
    ]
    return nemesis.model_copy(update={"streams": streams})


def _with_unique_names(specs: list[RunSpec]) -> list[RunSpec]:
    """Cells that would share a name (they differ in something that the name doesn't say) get a number."""
    counts: dict[str, int] = {}
    unique = []
    for spec in specs:
        counts[spec.cell] = counts.get(spec.cell, 0) + 1
        again = counts[spec.cell]
        unique.append(spec if again == 1 else spec.model_copy(update={"cell": f"{spec.cell} ({again})"}))
    return unique


def _example(kind: str) -> str:
    examples = {
        "protocols": "multi-paxos",
        "workloads": "register",
        "faults": "partition",
        "seeds": "1",
        "protocol": "primary-backup: {acknowledge: none}",
        "workload": "register: {processes_per_key: 3}",
        "fault": "kill: {target: leader}",
    }
    return examples[kind]
