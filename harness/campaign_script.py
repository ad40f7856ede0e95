"""The `script` of a campaign: what it says is checked and filled in, so that a cell can play it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from faults.catalogue import FAULTS
from faults.fault import Setting
from harness.checkers.inside import INSIDE
from harness.spec import RunSpec, ScriptedFault, ScriptedOperation, ScriptSpec
from harness.workloads import WORKLOADS
from harness.yaml_lines import Place
from node.machines import MACHINES
from node.protocols import PROTOCOLS
from node.registry import unknown

Error = Callable[[str, Place], Exception]
"""Makes the error to raise of a sentence and the place that it is about."""
CheckOptions = Callable[[type[BaseModel], str, str, dict[str, Any], Place], None]
"""Raises such an error if a model doesn't take these options; told are also the kind of thing and its name."""


class CampaignScript:
    """The script at one place of a campaign, for the cells that play it."""

    def __init__(self, script: ScriptSpec, place: Place, error: Error, check_options: CheckOptions) -> None:
        self.script = script
        self.place = place
        self._error = error
        self._check_options = check_options

    def played_by(self, spec: RunSpec, own: Mapping[str, Any]) -> RunSpec:
        """The cell, which plays the script. `own` is what the campaign says where the script stands.

        It is judged by the usual checkers, and by `script` if an operation says what has to become of it.
        """
        faults = [self._fault(spec, one, (*self.place, "faults", at)) for at, one in enumerate(self.script.faults)]
        for number, one in enumerate(self.script.operations):
            self._check_operation(spec, one, (*self.place, "operations", number))
        changes: dict[str, Any] = {"script": self.script.model_copy(update={"faults": faults})}
        if "minimum_operations" not in own:  # what is said elsewhere is meant for cells that draw what they do
            changes["minimum_operations"] = 0
        if "liveness_seconds" not in (own.get("simulation") or {}):
            changes["simulation"] = spec.simulation.model_copy(update={"liveness_seconds": 0.0})
        if not spec.checks.checkers and any(one.outcome for one in self.script.operations):
            usual = (*WORKLOADS[spec.workload.name].checkers, *(INSIDE if spec.cluster == "simulated" else ()))
            changes["checks"] = spec.checks.model_copy(update={"checkers": [*usual, "script"]})
        return spec.model_copy(update=changes)

    def _fault(self, spec: RunSpec, one: ScriptedFault, place: Place) -> ScriptedFault:
        """The fault with all of its options."""
        if one.fault not in FAULTS:
            raise self._error(str(unknown("fault", one.fault, FAULTS)), (*place, "fault"))
        kind = FAULTS[one.fault]
        self._check_options(kind.Options, "fault", one.fault, one.options, place)
        if not one.at_seconds < one.until_seconds <= spec.duration_seconds:
            sentence = (
                f"fault {one.fault!r} from {one.at_seconds:g} to {one.until_seconds:g} s: it has to end after it began, "
                f"and no later than the run at {spec.duration_seconds:g} s"
            )
            raise self._error(sentence, place)
        options = kind.Options.model_validate(one.options)
        setting = Setting(spec.cluster, spec.replica_names, spec.protocol.name, PROTOCOLS[spec.protocol.name].chief)
        if problem := kind(options).applies_to(setting):
            raise self._error(problem, place)
        return one.model_copy(update={"options": options.model_dump(mode="json")})

    def _check_operation(self, spec: RunSpec, one: ScriptedOperation, place: Place) -> None:
        functions = MACHINES[spec.machine].functions
        if one.replica not in spec.replica_names:
            raise self._error(str(unknown("replica", one.replica, spec.replica_names)), (*place, "replica"))
        if one.f not in functions:
            raise self._error(str(unknown(f"function of machine {spec.machine!r}:", one.f, functions)), (*place, "f"))
        if one.at_seconds >= spec.duration_seconds:
            sentence = f"an operation at {one.at_seconds:g} s: the run ends at {spec.duration_seconds:g} s"
            raise self._error(sentence, (*place, "at_seconds"))
        if one.results is not None and one.outcome != "ok":
            raise self._error("only an operation with `outcome: ok` has `results`", (*place, "results"))
