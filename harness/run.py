"""One run, from set-up to saved results.

    folder = new_folder(Path("results"), spec)
    results = run(spec, folder, Silent(), threading.Event())

What lies in the folder afterwards: `run.yaml`, `history.jsonl`, `statuses.jsonl`, `logs/`, `results.json` (see
`harness.results`), `report.html`, `junit.xml`, and `harness.log`, the harness's own log. A run on a simulated cluster
(`harness.simulation`) that finds something leaves its `trace.jsonl` as well: being exact, it is simply run once more.

The life of a run: the cluster is brought up and provisioned; clients and nemesis work (see `harness.work`); logs are saved;
the cluster is stopped, so that checking has the machine for itself; the history is audited and checked; the report is
written.

However it ends, by Ctrl-C, by a full disk, by a bug: faults are healed, what was started is stopped, and what was recorded
is kept, checked as far as it goes, and reported.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from faults.cluster import ClusterError, NetworkError
from harness import cluster as clusters
from harness.audit import audit
from harness.checkers import CHECKERS
from harness.checkers.checker import Checker, Limits, judge
from harness.checkers.inside import INSIDE
from harness.cluster import Cluster
from harness.errors import BadInput, RashomonError, RunFailed
from harness.history import BadHistory, Event, History, read_history
from harness.results import Account, write_results
from harness.simulation.files import write_simulated, write_trace
from harness.simulation.simulate import simulate
from harness.spec import RunSpec
from harness.work import Progress, Work, show, tick
from harness.workloads import make_workload
from harness.workloads.workload import Workload
from node.registry import UnknownName

_log = logging.getLogger(__name__)

_LONGEST_NAME = 80
_TRACE_AFTER_NS = 1_000_000_000
"""How long the trace of a simulated run goes on after its first finding."""


class Silent:
    """Shows nothing."""

    def phase(self, name: str) -> None:
        pass

    def tick(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
        pass


def new_folder(results: Path, spec: RunSpec) -> Path:
    """Make the folder of a run, `results/<campaign>/<timestamp>-<cell>/`, and let `results/latest` point to it.

    Raises `RunFailed` if the folder can't be made.
    """
    folder = new_place(results, spec.campaign, spec.cell)
    _point_latest(results, folder)
    return folder


def new_place(results: Path, campaign: str, name: str) -> Path:
    """Make a folder `results/<campaign>/<timestamp>-<name>/`. Raises `RunFailed` if it can't be made."""
    stamp = datetime.now().strftime("%Y%m%dT%H%M%S")
    parent = results / _plain(campaign)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return _make_unique(parent, f"{stamp}-{_plain(name)}")
    except OSError as error:
        raise _no_folder_in(parent, error) from error


def look_for_room(results: Path) -> None:
    """Find out before long work whether its results can be kept there. Raises `RunFailed` if they can't."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".room", dir=results):
            pass
    except OSError as error:
        raise _no_folder_in(results, error) from error


def _no_folder_in(parent: Path, error: OSError) -> RunFailed:
    return RunFailed(f"cannot make a folder in {parent} ({error.strerror}): choose another folder for results")


def run(
    spec: RunSpec,
    folder: Path,
    progress: Progress,
    interrupt: threading.Event,
    create: Callable[[str, int], Cluster] = clusters.create,
) -> dict[str, Any]:
    """Execute a run; returns its results as they lie in `results.json`.

    Setting `interrupt` ends it early, with everything healed, stopped, checked and reported; set while it is being
    checked, it ends the checks. A `KeyboardInterrupt` in the calling thread does the same as setting it; another one
    gives up the checks and is raised again when all is cleaned up. (The run lives in a thread of its own, which no
    signal can stop half way through cleaning up.)

    Raises `RunFailed` or `BadInput` if the run itself failed, after writing what there is, `results.json` included.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        spec.save(folder / "run.yaml")
    except OSError as error:
        raise RunFailed(
            f"cannot write in {folder} ({error.strerror}): free some space, or choose another folder"
        ) from error
    the_run = _Run(spec, folder, progress, interrupt, create)
    with _logging_to(folder / "harness.log"):
        _live_in_thread(the_run, interrupt)
    if the_run.failure is not None:
        raise the_run.failure
    return the_run.results


class _Run:
    """The life of one run. `live` raises nothing that can go wrong in a run: it becomes `failure`."""

    def __init__(
        self,
        spec: RunSpec,
        folder: Path,
        progress: Progress,
        interrupt: threading.Event,
        create: Callable[[str, int], Cluster],
    ) -> None:
        self.spec = spec
        self.folder = folder
        self.progress = progress
        self.interrupt = interrupt
        self.give_up = threading.Event()
        """Set to end the checks as well."""
        self.failure: RashomonError | None = None
        self.results: dict[str, Any] = {}
        self._create = create
        self._began = time.monotonic()
        self._account = Account(spec, folder, datetime.now(UTC))
        self._history: History | None = None
        self._last_operation: float | None = None
        """When the last operation returned, in seconds since the run was started."""

    def live(self) -> None:
        _log.info("cell %s, seed %d, folder %s", self.spec.cell, self.spec.seed, self.folder)
        checkers: list[Checker] = []
        with self._failures_kept():
            workload = self._workload()
            checkers = self._checkers(workload)
            if self.spec.cluster == "simulated":
                self._simulate()
            else:
                self._history = History(self.folder / "history.jsonl")
                self._work(workload, self._history)
        if self._history is not None:
            self._history.close()
        with self._failures_kept():
            self._judge(checkers)
        with self._failures_kept():
            self._keep_trace()
        with self._failures_kept():
            self._conclude()

    @contextmanager
    def _failures_kept(self) -> Iterator[None]:
        """Keep the first thing that goes wrong as a sentence, and let the run go on to its next step."""
        try:
            yield
        except RashomonError as error:
            self._fail(error)
        except (ClusterError, NetworkError) as error:
            self._fail(RunFailed(str(error)))
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            self._fail(RunFailed(f"the system refused: {error.strerror or error}{place}"))
        except Exception as error:
            _log.exception("the run failed")
            log = self.folder / "harness.log"
            self._fail(
                RunFailed(f"a bug in the harness ({type(error).__name__}: {error}): please report it with {log}")
            )

    def _fail(self, error: RashomonError) -> None:
        _log.error("%s", error)
        if self.failure is None:
            self.failure = error
            self._account.error = str(error)

    # Set-up

    def _workload(self) -> Workload:
        try:
            return make_workload(self.spec)
        except UnknownName as error:
            raise BadInput(str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadInput(f"workload {self.spec.workload.name!r}, {place}: {first['msg']}") from error

    def _checkers(self, workload: Workload) -> list[Checker]:
        try:
            usual = (*workload.checkers, *(INSIDE if self.spec.cluster == "simulated" else ()))
            return [CHECKERS[name]() for name in self.spec.checks.checkers or usual]
        except UnknownName as error:
            raise BadInput(str(error)) from error

    # On a simulated cluster

    def _simulate(self) -> None:
        show(self.progress, "working")
        simulated = simulate(self.spec, watch=self._watch)
        write_simulated(self.folder, simulated)
        self._account.seconds.update(simulated.seconds)
        self._account.notes.append(f"{simulated.virtual_seconds:.1f} s of virtual time took {self._elapsed():.1f} s")

    def _watch(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> bool:
        tick(self.progress, outcomes, faults, seconds_left)
        return self.interrupt.is_set()

    def _keep_trace(self) -> None:
        """Of a simulated run with findings: every step up to the first of them (in a script, the last), from an exact
        repetition of the run."""
        ends = [finding.prefix_end for check in self._account.checks for finding in check.findings]
        if self.spec.cluster != "simulated" or not ends or self.interrupt.is_set():
            return
        known = [end for end in ends if end is not None]
        until = min if self.spec.script is None else max  # a script is short
        until_ns = until(known) + _TRACE_AFTER_NS if known else None
        write_trace(self.folder, simulate(self.spec, trace=True, until_ns=until_ns).trace or [])

    # While the cluster is up

    def _work(self, workload: Workload, history: History) -> None:
        show(self.progress, "setting up")
        with self._create(self.spec.cluster, self.spec.replicas) as cluster:
            if self.interrupt.is_set():
                return
            try:
                self._use(cluster, workload, history)
            finally:
                show(self.progress, "stopping")
                self._save(cluster)

    def _use(self, cluster: Cluster, workload: Workload, history: History) -> None:
        spec, run_id = self.spec, secrets.token_hex(8)
        protocol = spec.protocol
        cluster.provision(protocol.name, protocol.options, spec.machine, run_id, spec.seed, flaws=protocol.flaws)
        work = Work(spec, workload, cluster, run_id, history, self.folder, self.progress, self.interrupt)
        setup = self._elapsed()
        try:
            if not self.interrupt.is_set():
                work.go()
        finally:
            first, last = work.tally.first_ok, work.tally.latest_return
            self._last_operation = None if last is None else setup + last / 1e9
            first_operation = None if first is None else round(setup + first / 1e9, 3)
            self._account.seconds.update(work.seconds, setup=setup, first_operation=first_operation)

    def _save(self, cluster: Cluster) -> None:
        """Keep what is gone when the cluster is stopped."""
        logs = self.folder / "logs"
        try:
            self._account.tainted = cluster.network.tainted
            logs.mkdir(exist_ok=True)
            cluster.save_logs(logs)
        except (OSError, ClusterError) as error:
            self._note(f"the replicas' logs could not be saved: {error}")

    # Judgement

    def _judge(self, checkers: Sequence[Checker]) -> None:
        show(self.progress, "checking")
        began = time.monotonic()
        account = self._account
        account.events = events = self._events()
        account.interrupted = already = self.interrupt.is_set()
        limits = Limits(
            self.spec.checks.time_limit_seconds,
            self.spec.checks.memory_limit_mb,
            cancelled=lambda: self.give_up.is_set() or (self.interrupt.is_set() and not already),
        )
        account.audit = account.audit or audit(events)
        if events and not account.audit:
            account.checks = [judge(checker, self.spec, events, limits) for checker in checkers]
        account.seconds["check"] = round(time.monotonic() - began, 3)

    def _events(self) -> list[Event]:
        events: list[Event] = []
        path = self.folder / "history.jsonl"
        if not path.exists():
            return events
        try:
            events.extend(read_history(path))
        except BadHistory as error:
            self._account.audit = [str(error)]
        return events

    def _conclude(self) -> None:
        """Save the results, then write the report from what was saved."""
        show(self.progress, "reporting")
        account, began = self._account, time.monotonic()
        account.interrupted = self.interrupt.is_set()
        self._save_results()
        try:
            from harness.report import write_report

            write_report(self.folder)
        except Exception as error:  # the results stand, whatever becomes of their picture
            _log.exception("no report")
            self._note(f"the report could not be written: {type(error).__name__}: {error}")
        account.seconds["report"] = round(time.monotonic() - began, 3)
        self._save_results()

    def _save_results(self) -> None:
        seconds, total = self._account.seconds, self._elapsed()
        seconds["total"] = total
        if self._last_operation is not None:
            seconds["after_last_operation"] = round(total - self._last_operation, 3)
        self.results = self._account.results()
        write_results(self.folder, self.results)

    def _note(self, sentence: str) -> None:
        _log.warning("%s", sentence)
        self._account.notes.append(sentence)

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._began, 3)


def _live_in_thread(the_run: _Run, interrupt: threading.Event) -> None:
    """Let the run live in a thread of its own, and pass on what the user does to this one."""
    over = threading.Event()

    def live() -> None:
        try:
            the_run.live()
        finally:
            over.set()

    thread = threading.Thread(target=live, name="run")
    thread.start()
    again = False
    # Not `thread.join()`: before Python 3.13 one that is interrupted takes a thread that is at work for ended.
    while not over.is_set():
        try:
            over.wait()
        except KeyboardInterrupt:
            if interrupt.is_set():
                the_run.give_up.set()
                again = True
            interrupt.set()
    thread.join()
    if again:
        raise KeyboardInterrupt


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Write what harness and faults log into the file, until the end of the block."""
    handler = _QuietHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("harness", "faults")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        with suppress(OSError):
            handler.close()


class _QuietHandler(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A log that can't be written (the disk is full) is no reason for a traceback; the run says it itself."""


def _plain(name: str) -> str:
    """A name for a file: `multi-paxos-register-everything-seed-1`."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    return words[:_LONGEST_NAME].rstrip("-.") or "run"


def _make_unique(parent: Path, name: str) -> Path:
    """Make a folder of that name, with a number behind it if there is one already."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def _point_latest(results: Path, folder: Path) -> None:
    """Let `results/latest` point to the folder. It is a convenience: where it can't be made, the run goes on without."""
    latest = results / "latest"
    fresh = results / f".latest-{os.getpid()}-{threading.get_ident()}"
    with suppress(OSError):
        if latest.exists() and not latest.is_symlink():
            return
        fresh.symlink_to(folder.relative_to(results))
        fresh.replace(latest)
