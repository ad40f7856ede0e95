"""Flaws: each is noticed within a few rough simulated runs, which leave the correct protocols in peace."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.campaign import load_campaign
from harness.errors import BadInput
from node.flaws import FLAWS, HOST_FLAWS, Flaw, all_flaws, flawed, flaws_of
from node.flaws.__main__ import page
from node.protocols import PROTOCOLS
from node.protocols.multi_paxos import MultiPaxos
from node.registry import UnknownName
from node.replica import BadProvision, Hosted, Provision
from tests.support.fake_network import FakeNetwork
from tests.support.rough import problem, rough_spec

NO_ORDER = "no order explains the operations"
ONE_DECREE = "a slot holds one decree"
KNOWS_EVERYTHING = "knows everything that was acknowledged before"

# Within how many runs a flaw is noticed, and one of the ways in which it may be.
NOTICED: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {
    ("multi-paxos", "promise-not-persisted"): (5, ("a promise never goes back",)),
    ("multi-paxos", "accepted-not-persisted"): (8, (KNOWS_EVERYTHING, ONE_DECREE, "a promise never goes back")),
    ("multi-paxos", "majority-off-by-one"): (2, (ONE_DECREE,)),
    ("multi-paxos", "new-leader-ignores-accepted"): (15, (KNOWS_EVERYTHING, ONE_DECREE)),
    ("multi-paxos", "lowest-ballot-wins"): (50, (ONE_DECREE,)),
    ("multi-paxos", "same-ballot-twice"): (15, ("a ballot belongs to one replica",)),
    ("multi-paxos", "replies-before-commit"): (2, ("what is acknowledged was carried out",)),
    ("multi-paxos", "local-reads"): (15, (NO_ORDER,)),
    ("multi-paxos", "retries-applied-twice"): (15, ("a request is carried out once",)),
    ("multi-paxos", "gap-skipped"): (
        5,
        ("a request is carried out once", "replicas that have applied as much", ONE_DECREE),
    ),
    ("multi-paxos", "snapshot-without-clients"): (8, (KNOWS_EVERYTHING, "remember the same of their clients")),
    ("multi-paxos", "replies-before-sync"): (10, ("a promise never goes back", KNOWS_EVERYTHING, ONE_DECREE)),
    ("multi-paxos", "sync-skipped"): (5, ("a promise never goes back", KNOWS_EVERYTHING, "a ballot belongs to one")),
    ("multi-paxos", "retried-under-new-name"): (30, (NO_ORDER,)),
    ("primary-backup", "acknowledges-before-backups"): (2, ("is on the disk of every member",)),
    ("primary-backup", "stale-backup-promoted"): (40, (KNOWS_EVERYTHING,)),
    ("primary-backup", "returns-without-state"): (8, ("installed as much are equal", KNOWS_EVERYTHING)),
    ("primary-backup", "no-idempotence"): (30, (NO_ORDER,)),
    ("primary-backup", "applies-out-of-order"): (5, ("installed as much are equal", "number names one")),
    ("primary-backup", "replies-before-sync"): (20, (KNOWS_EVERYTHING, "an earlier view", "on the disk of every")),
    ("primary-backup", "sync-skipped"): (5, ("an earlier view", KNOWS_EVERYTHING)),
    ("primary-backup", "retried-under-new-name"): (30, (NO_ORDER,)),
}
ONLY_SPLITS = {"lowest-ballot-wins"}
"""What crashes would only hide."""
ELSEWHERE = {"leader-reads-locally"}
"""What takes a story of its own: below."""


AT_ONCE = [
    ("multi-paxos", "majority-off-by-one"),
    ("multi-paxos", "replies-before-commit"),
    ("multi-paxos", "sync-skipped"),
    ("primary-backup", "acknowledges-before-backups"),
    ("primary-backup", "applies-out-of-order"),
]
"""Those that are looked for in the fast tests, too: the quickest."""


@pytest.mark.parametrize(
    ("protocol", "flaw"),
    [pytest.param(*pair, marks=() if pair in AT_ONCE else pytest.mark.slow) for pair in NOTICED],
)
def test_a_flaw_is_noticed(protocol: str, flaw: str) -> None:
    limit, ways = NOTICED[protocol, flaw]
    for seed in range(limit):
        found = problem(rough_spec(protocol, seed, [flaw], flaw in ONLY_SPLITS), stop_at_broken=True)
        if found is not None:
            print(f"seed {seed}: {found}")
            assert any(way in found for way in ways)
            return
    pytest.fail(f"{flaw} went unnoticed in {limit} runs of {protocol}")


def test_every_flaw_of_these_protocols_is_noticed_somewhere() -> None:
    for protocol in ("multi-paxos", "primary-backup"):
        harmful = {name for name, place in flaws_of(protocol).items() if not place.harmless}
        assert harmful - {flaw for name, flaw in NOTICED if name == protocol} <= ELSEWHERE


@pytest.mark.parametrize("flaws", [[], ["handled-twice"]], ids=["correct", "handled twice"])
@pytest.mark.parametrize("protocol", ["multi-paxos", "primary-backup"])
def test_correct_protocols_are_left_in_peace(protocol: str, flaws: list[str]) -> None:
    assert problem(rough_spec(protocol, 1, flaws)) is None, "seed 1"


@pytest.mark.slow
@pytest.mark.parametrize("only_splits", [False, True], ids=["all faults", "only splits"])
@pytest.mark.parametrize("protocol", ["multi-paxos", "primary-backup"])
def test_correct_protocols_are_left_in_peace_at_length(protocol: str, only_splits: bool) -> None:
    for seed in range(1_000, 1_040):
        assert problem(rough_spec(protocol, seed, only_splits=only_splits)) is None, f"seed {seed}"


def stale_read(protocol: type[MultiPaxos]) -> bool:
    """Whether an old leader, which slept while another one took over, answers a read with what was overwritten since."""
    net = FakeNetwork(protocol, 3, seed=1)
    assert net.run_until(lambda: net.chiefs() == ["n1"], 5.0)
    assert net.call("n1", "c", 1, "write", "x", "old").type == "ok"
    net.pause("n1")
    net.partition(["n1"], ["n2", "n3"])
    assert net.run_until(lambda: "n2" in net.chiefs(), 3.0)
    assert net.call("n2", "d", 1, "write", "x", "new").type == "ok"
    net.resume("n1")
    read = net.ask("n1", "c", 2, "read", "x")
    net.run(0.3)
    return read.outcome is not None and read.outcome.result == "old"


def test_a_leader_that_reads_locally_tells_what_was_overwritten() -> None:
    paxos = flawed("multi-paxos", ["leader-reads-locally"])
    assert issubclass(paxos, MultiPaxos) and stale_read(paxos)
    assert not stale_read(MultiPaxos)


# ---- switching them on


def test_without_flaws_a_protocol_is_itself() -> None:
    assert flawed("multi-paxos", []) is MultiPaxos


def test_several_flaws_go_together_and_the_name_stays() -> None:
    flaws = ["promise-not-persisted", "replies-before-sync", "promise-not-persisted"]
    both = flawed("multi-paxos", flaws)
    assert both.name == "multi-paxos" and issubclass(both, MultiPaxos)
    assert [base for base in both.__bases__ if issubclass(base, Flaw)] == [
        flaws_of("multi-paxos")[name] for name in flaws[:2]
    ]


@pytest.mark.parametrize(
    ("protocol", "flaw", "sentence"),
    [
        ("multi-paxos", "promise-not-persistent", "did you mean 'promise-not-persisted'?"),
        ("multi-paxos", "no-idempotence", "unknown flaw of multi-paxos 'no-idempotence'"),
        ("multi-paxos", "node.flaws.primary_backup:NoIdempotence", "is a flaw of PrimaryBackup and not of multi-paxos"),
        ("multi-paxos", "node.protocols.multi_paxos:MultiPaxos", "is not a flaw"),
        ("multi-paxos", "node.flaws.nowhere:Nothing", "cannot import flaw"),
    ],
)
def test_what_is_no_flaw_of_a_protocol_is_refused_in_one_sentence(protocol: str, flaw: str, sentence: str) -> None:
    with pytest.raises(UnknownName) as refused:
        flawed(protocol, [flaw])
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_flaws_of_the_host_fit_every_protocol() -> None:
    for protocol in PROTOCOLS:
        for name in HOST_FLAWS:
            assert not getattr(flawed(protocol, [name]), "__abstractmethods__", None)


def test_a_replica_is_provisioned_with_flaws() -> None:
    plain = {"run": "r", "protocol": "multi-paxos", "machine": "kv", "seed": 1, "replicas": ["n1"]}
    hosted = Hosted("n1", Provision.model_validate({**plain, "flaws": ["sync-skipped"]}))
    assert hosted.protocol is not MultiPaxos and issubclass(hosted.protocol, MultiPaxos)
    with pytest.raises(BadProvision, match="did you mean 'sync-skipped'"):
        Hosted("n1", Provision.model_validate({**plain, "flaws": ["sync-skiped"]}))


def test_a_campaign_names_flaws_and_its_cells_tell(tmp_path: Path) -> None:
    file = tmp_path / "flaws.yaml"
    file.write_text("protocols:\n  - multi-paxos\n  - multi-paxos: {window: 2, flaws: [sync-skipped, local-reads]}\n")
    right, wrong = load_campaign(file)
    assert right.protocol.flaws == [] and wrong.protocol.flaws == ["sync-skipped", "local-reads"]
    assert wrong.protocol.options["window"] == 2 and "sync-skipped, local-reads" in wrong.cell


@pytest.mark.parametrize(
    ("flaws", "sentence"),
    [
        ("[sync-skiped]", "did you mean 'sync-skipped'?"),
        ("{sync-skipped: true}", "`flaws` is a list of names"),
        ("[3]", "`flaws` is a list of names"),
    ],
)
def test_a_campaign_with_flaws_that_cannot_be_meant_is_refused(tmp_path: Path, flaws: str, sentence: str) -> None:
    file = tmp_path / "flaws.yaml"
    file.write_text(f"protocols:\n  - multi-paxos: {{flaws: {flaws}}}\n")
    with pytest.raises(BadInput, match=r"flaws\.yaml") as refused:
        load_campaign(file)
    assert sentence in str(refused.value)


# ---- what they say of themselves


def test_every_flaw_says_what_it_does_and_which_rule_it_breaks() -> None:
    for _, name, flaw in all_flaws():
        for sentence in (flaw.mistake, flaw.rule):
            assert sentence == sentence.strip() and sentence.endswith("."), name
    assert set(FLAWS) <= set(PROTOCOLS)


def test_the_page_of_flaws_is_what_the_classes_say() -> None:
    written = (Path(__file__).parent.parent / "docs" / "flaws.md").read_text("utf-8")
    assert written == page(), "run `python -m node.flaws > docs/flaws.md`"
