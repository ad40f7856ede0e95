"""The command line: `rashomon ...`. Each command says by `--help` what it does, with examples."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from faults.cluster import ClusterError
from harness.cli_check import check, convert
from harness.durations import SECONDS
from harness.errors import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_RUN_FAILED,
    BadInput,
    RashomonError,
    RunFailed,
)
from harness.explore.cli import explore
from harness.hunt.cli import hunt
from harness.shrink.cli import shrink
from harness.signals import interruptible, signals_interrupt

RESULTS = Path("results")


class _Group(click.Group):
    """Turns the errors that a user can cause into one sentence and an exit code, for every command."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except click.UsageError as error:
            _refuse(error)

    def invoke(self, context: click.Context) -> Any:
        try:
            with signals_interrupt():
                return super().invoke(context)
        except KeyboardInterrupt:
            _fail("interrupted", EXIT_INTERRUPTED)
        except click.UsageError as error:
            _refuse(error)
        except RashomonError as error:
            _fail(str(error), error.exit_code)
        except ClusterError as error:
            _fail(str(error), EXIT_RUN_FAILED)
        except BrokenPipeError:  # whoever was reading has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_RUN_FAILED)
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            _fail(f"the system refused: {error.strerror}{place}", EXIT_RUN_FAILED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            traceback.print_exc()  # to be reported; the code that Python would end with is that of a violation
            _fail(f"a bug in rashomon ({type(error).__name__}): please report it with the lines above", EXIT_RUN_FAILED)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            from node.registry import unknown

            _fail(f"{unknown('command', args[0], self.commands)}; `rashomon --help` lists them", EXIT_BAD_INPUT)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"rashomon: {sentence}", err=True)
    sys.exit(code)


def _refuse(error: click.UsageError) -> NoReturn:
    """A command line that can't be meant: click's own exit code for it would say `unknown` here."""
    command = error.ctx.command_path if error.ctx else "rashomon"
    what = " ".join(error.format_message().split()).rstrip(".")
    _fail(f"{what[0].lower()}{what[1:]}: `{command} --help` tells what can be said", EXIT_BAD_INPUT)


@click.group(
    cls=_Group,
    invoke_without_command=True,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="rashomon", prog_name="rashomon")
@click.pass_context
def main(context: click.Context) -> None:
    """Break a cluster of real replicas, and find out whether one story fits what all its clients saw.

    \b
    rashomon run campaigns/quickstart.yaml     run fault campaigns, get verdicts and a report
    rashomon explore campaigns/explore.yaml    thousands of simulated runs a minute, each with other faults
    rashomon shrink results/latest             the smallest run that still shows what was found, told step by step
    rashomon hunt                              make every classic mistake, and see which are found
    rashomon list protocols                    what there is to be broken
    rashomon serve                             the reports, in a browser
    rashomon check results/latest              judge a history again: a run's, or another tool's

    Exit codes: 0 as expected, 1 a violation (or none where one was expected), 2 unknown, 3 bad input, 4 the run failed,
    130 interrupted.
    """
    from harness.cluster.leftovers import sweep

    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return
    for sentence in sweep():
        click.echo(f"rashomon: {sentence}", err=True)


_cluster = click.option(
    "--cluster", type=click.Choice(["local", "docker", "simulated"]), help="Instead of the campaign's own."
)


@main.command()
@click.argument("campaign", type=click.Path(path_type=Path))
@_cluster
@click.option("--seed", type=click.IntRange(min=0), help="Run every cell with this one seed.")
@click.option("--time-limit", type=SECONDS, metavar="SECONDS",
              help="How long clients and faults work in each cell.")  # fmt: skip
@click.option("--replicas", type=click.IntRange(1, 25), help="How many replicas each cluster has.")
@click.option("--only", metavar="TEXT", help="Only the cells whose name contains TEXT.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True,
              help="The folder that gets the folders of campaigns.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the resolved cells, run nothing.")
def run(
    campaign: Path,
    cluster: Any,
    seed: int | None,
    time_limit: float | None,
    replicas: int | None,
    only: str | None,
    results: Path,
    dry_run: bool,
) -> None:
    """Run every cell of CAMPAIGN, a YAML file, and judge what the clients saw.

    \b
    rashomon run campaigns/quickstart.yaml
    rashomon run campaigns/multi-paxos.yaml --only ring --time-limit 60 --seed 7
    rashomon run campaigns/quickstart.yaml --cluster docker
    rashomon run campaigns/multi-paxos.yaml --dry-run

    Ctrl-C ends the run early: faults are healed, everything is stopped, and what was recorded is checked. A second
    Ctrl-C gives up the checking too.
    """
    from harness.campaign import Overrides, load_campaign
    from harness.campaign_run import run_campaign

    overrides = Overrides(cluster=cluster, seed=seed, duration_seconds=time_limit, replicas=replicas)
    specs = load_campaign(campaign, overrides)
    if only is not None:
        names = [spec.cell for spec in specs]
        specs = [spec for spec in specs if only in spec.cell]
        if not specs:
            raise BadInput(f"--only {only!r} fits no cell: the cells are {'; '.join(names)}")
    if dry_run:
        _print_specs(specs)
        return
    with _interruptible() as interrupt:
        sys.exit(run_campaign(specs, results, interrupt))


def _print_specs(specs: list[Any]) -> None:
    for spec in specs:
        click.echo(f"--- # {spec.cell}")
        click.echo(spec.as_yaml(), nl=False)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """As `harness.signals.interruptible`, with a word for whoever interrupts a run twice."""
    try:
        with interruptible() as interrupt:
            yield interrupt
    except KeyboardInterrupt:
        _fail("interrupted twice: stopped without finishing the checks; the history is kept", EXIT_INTERRUPTED)


main.add_command(explore)
main.add_command(shrink)
main.add_command(hunt)
main.add_command(check)


def find_run(path: Path) -> Path:
    """The folder of a run, if that is what it is; raises `BadInput` if not."""
    if not (path / "run.yaml").is_file():
        raise BadInput(f"{path}: is not the folder of a run (it has no run.yaml): name one such as results/latest")
    return path.resolve()


@main.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
def report(run_folder: Path) -> None:
    """Write the report of RUN, the folder of a run, anew.

    \b
    rashomon report results/latest
    """
    from harness.report import write_report

    click.echo(str(write_report(find_run(run_folder))))


@main.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@_cluster
@click.option("--times", type=click.IntRange(1, 1000), help="How often; tells how many of them end in a violation.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True,
              help="The folder that gets the folders of campaigns.")  # fmt: skip
def replay(run_folder: Path, cluster: Any, times: int | None, results: Path) -> None:
    """Repeat RUN: the same faults at the same times, the same operations of each process.

    Real clusters are not deterministic: how the replicas interleave may differ, and so may the verdict. A simulated run
    is repeated exactly, to the byte. With --times it is told how often the repetitions end in a violation.

    \b
    rashomon replay results/latest
    rashomon replay results/latest --cluster docker --times 5

    Exit codes: those of `rashomon run`, and 4 if the two runs differ in what a seed fixes. With --times: 0 if any of
    them ends in a violation, 2 if none does.
    """
    from harness.campaign_run import replay_run
    from harness.replay import replay_spec
    from harness.shrink.carry import carry

    with _interruptible() as interrupt:
        if times is not None:
            folder = find_run(run_folder)
            sys.exit(carry(folder, cluster or replay_spec(folder).cluster, times, results, interrupt))
        sys.exit(replay_run(find_run(run_folder), cluster, results, interrupt))


main.add_command(convert)


@main.command("list")
@click.argument(
    "what",
    metavar="WHAT",
    type=click.Choice(["protocols", "flaws", "machines", "faults", "workloads", "checkers", "models"]),
)
def list_(what: str) -> None:
    """What there is: WHAT is protocols, flaws, machines, faults, workloads, checkers or models, each with its options.

    \b
    rashomon list faults
    """
    from harness.terminal import print_catalogue

    print_catalogue(what)


@main.command()
@click.option("--cluster", type=click.Choice(["local", "docker"]), default="docker", show_default=True,
              help="Processes of this machine, or the containers of docker-compose.yml.")  # fmt: skip
@click.option("--replicas", type=click.IntRange(1, 25), default=5, show_default=True,
              help="How many; containers are at most 5.")  # fmt: skip
@click.option("--protocol", default="multi-paxos", show_default=True, metavar="NAME",
              help="With its defaults: see `rashomon list protocols`.")  # fmt: skip
def up(cluster: str, replicas: int, protocol: str) -> None:
    """Start a cluster and leave it running, to be talked to by hand.

    \b
    rashomon up --cluster local --protocol primary-backup
    rashomon status --cluster local
    rashomon down --cluster local
    """
    from harness.cluster import standing
    from node.protocols import PROTOCOLS
    from node.registry import UnknownName

    try:
        PROTOCOLS[protocol]
    except UnknownName as error:
        raise BadInput(f"--protocol: {error}") from error
    for line in standing.up(cluster, replicas, protocol):
        click.echo(line)


@main.command()
@click.option("--cluster", type=click.Choice(["local", "docker"]), default="docker", show_default=True,
              help="Processes of this machine, or the containers of docker-compose.yml.")  # fmt: skip
def down(cluster: str) -> None:
    """Stop a cluster that was left running, and remove its containers, networks and data."""
    from harness.cluster import standing

    for line in standing.down(cluster):
        click.echo(line)


@main.command()
@click.option("--cluster", type=click.Choice(["local", "docker"]), default="docker", show_default=True,
              help="Processes of this machine, or the containers of docker-compose.yml.")  # fmt: skip
def status(cluster: str) -> None:
    """Addresses, roles and health of a cluster that was left running."""
    from harness.cluster import standing

    for line in standing.describe(cluster):
        click.echo(line)


@main.command()
@click.argument("results", type=click.Path(path_type=Path), default=RESULTS)
@click.option("--port", type=click.IntRange(1, 65535), default=8090, show_default=True)
def serve(results: Path, port: int) -> None:
    """Show the reports in RESULTS in a browser, on this machine only.

    \b
    rashomon serve
    rashomon serve results/ --port 9000
    """
    from harness.serve import serve_results

    if not results.is_dir():
        raise BadInput(f"{results}: is not a folder: run a campaign first, or name the folder of its results")
    try:
        serve_results(results, port, lambda address: click.echo(f"Reports at {address} (Ctrl-C ends this)"))
    except OSError as error:
        raise RunFailed(f"port {port} can't be used ({error.strerror}): choose another with --port") from error


if __name__ == "__main__":
    main()
