"""Log shipping: what is on disks and what is carried out; promotion; then rough runs, and proof that those find bugs."""

from __future__ import annotations

from typing import Any

import pytest

from node.flaws import flawed, flaws_of
from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.protocols.log_shipping import LogShipping
from tests.support.fake_network import FakeNetwork
from tests.support.rough import problem, rough_spec

BUSY: dict[str, Any] = {"heartbeat_seconds": 0.05, "suspect_seconds": 0.3}
NEVER: dict[str, Any] = {**BUSY, "apply_seconds": 1000.0}
"""Nothing is carried out in the background."""


def network(replicas: int = 3, protocol: type[Protocol] = LogShipping, **options: Any) -> FakeNetwork:
    net = FakeNetwork(protocol, replicas, 1, {**BUSY, **options})
    ruled_by(net, "n1")
    return net


def ruled_by(net: FakeNetwork, primary: str) -> None:
    """Wait until this replica is primary and all that are up belong to it."""

    def settled() -> bool:
        up = [name for name, host in net.hosts.items() if host.up]
        return net.chiefs() == [primary] and all(net[name].active and net[name].view.primary == primary for name in up)

    assert net.run_until(settled, 10.0), net.log()


def write(net: FakeNetwork, replica: str, count: int, keys: int = 7) -> None:
    for number in range(1, count + 1):
        outcome = net.call(replica, f"writer at {replica}", number, "write", f"k{number % keys}", number)
        assert outcome.type == "ok"


def to_replay(net: FakeNetwork, replica: str) -> int:
    details = net[replica].status()["details"]
    return int(details["to_replay"])


# ---- the log


def test_it_is_known_by_its_name() -> None:
    assert PROTOCOLS["log-shipping"] is LogShipping


def test_a_backup_has_on_disk_what_is_acknowledged_and_has_not_carried_it_out() -> None:
    net = network(**NEVER)
    write(net, "n1", 5)
    for backup in ("n2", "n3"):
        status = net[backup].status()
        assert (status["log_index"], status["commit_index"], to_replay(net, backup)) == (5, 0, 5)
        assert sum('"entry"' in text for text in net.hosts[backup].durable) >= 5
    assert not net.witness.broken


def test_an_active_backup_carries_its_log_out_in_the_background() -> None:
    net = network()
    write(net, "n1", 5)
    assert net.run_until(lambda: to_replay(net, "n2") == to_replay(net, "n3") == 0, 1.0)
    assert len({net[name].status()["digest"] for name in net.replicas}) == 1


@pytest.mark.parametrize("options", [{"passive": True}, {"apply_seconds": 1000.0}], ids=["passive", "slow"])
def test_a_promoted_backup_replays_first(options: dict[str, Any]) -> None:
    net = network(**options)
    write(net, "n1", 20)
    net.kill("n1")
    ruled_by(net, "n2")
    assert "replays 20 updates" in net.log()
    assert [net.call("n2", "r", number, "read", f"k{number % 7}").result for number in range(14, 21)] == list(
        range(14, 21)
    )
    assert not net.witness.broken


def test_without_the_replay_what_was_acknowledged_is_gone() -> None:
    net = network(protocol=flawed("log-shipping", ["promoted-without-replay"]), passive=True)
    write(net, "n1", 20)
    net.kill("n1")
    ruled_by(net, "n2")
    assert net.call("n2", "r", 1, "read", "k6").result is None
    assert net.witness.broken


def test_a_request_that_comes_again_to_the_promoted_backup_is_not_done_again() -> None:
    net = network(passive=True)
    assert net.call("n1", "c", 1, "cas", "x", [None, 1]).result is True
    net.kill("n1")
    ruled_by(net, "n2")
    assert net.call("n2", "c", 1, "cas", "x", [None, 1]).result is True
    assert net.call("n2", "d", 1, "read").result == 1


@pytest.mark.parametrize("passive", [False, True])
def test_after_a_crash_of_all_the_logs_on_disk_are_enough(passive: bool) -> None:
    net = network(passive=passive, **NEVER)
    write(net, "n1", 20)
    net.kill(*net.replicas)
    net.restart("n2", "n3")
    net.run(2.0)
    assert net.chiefs() == [], "n1 may know more"
    net.restart("n1")
    ruled_by(net, "n1")
    assert net.call("n1", "r", 1, "read", "k6").result == 20
    assert not net.witness.broken


def test_the_last_of_three_still_has_everything() -> None:
    net = network(passive=True)
    write(net, "n1", 10)
    net.kill("n1")
    ruled_by(net, "n2")
    write(net, "n2", 10)
    net.kill("n2")
    ruled_by(net, "n3")
    write(net, "n3", 3)
    assert net.call("n3", "r", 1, "read", "k1").result == 1 and net.call("n3", "r", 2, "read", "k4").result == 4
    assert not net.witness.broken


def test_who_returns_is_given_the_state_and_logs_from_there() -> None:
    net = network(passive=True)
    write(net, "n1", 5)
    net.kill("n3")
    net.run(1.0)
    net.restart("n3")
    ruled_by(net, "n1")
    for number in range(1, 4):
        assert net.call("n1", "c", number, "write", "x", number).type == "ok"
    assert net["n3"].applied == 8 and to_replay(net, "n3") >= 3


# ---- checkpoints


@pytest.mark.parametrize("options", [{}, {"passive": True}], ids=["active", "passive"])
def test_logs_are_cut_to_a_checkpoint_and_still_hold_everything(options: dict[str, Any]) -> None:
    net = network(compact_every=20, **options)
    write(net, "n1", 200)
    net.run(0.5)
    assert all(len(host.durable) <= 70 for host in net.hosts.values())
    assert all(to_replay(net, name) <= 40 for name in net.replicas)
    net.kill("n1")
    ruled_by(net, "n2")
    assert [net.call("n2", "r", number, "read", f"k{number % 7}").result for number in range(194, 201)] == [
        *range(194, 201)
    ]
    assert net["n2"].applied == 200 and not net.witness.broken


def test_a_checkpoint_that_comes_late_takes_nothing_back() -> None:
    net = network(passive=True)
    write(net, "n1", 5)
    old = {**net["n1"]._state(), "view": list(net["n1"].view)}
    write_more = net.call("n1", "d", 1, "write", "k5", "new")
    assert write_more.type == "ok"
    net["n2"].on_message("n1", old)
    assert (net["n2"].applied, to_replay(net, "n2")) == (6, 1)
    net["n2"].on_message("n1", old)
    assert (net["n2"].applied, to_replay(net, "n2")) == (6, 1)
    net.kill("n1")
    ruled_by(net, "n2")
    assert net.call("n2", "r", 1, "read", "k5").result == "new"


def test_passive_backups_cannot_answer_reads() -> None:
    with pytest.raises(ValueError, match="reads has to be primary"):
        LogShipping.Options(passive=True, reads="any")


# ---- at length

PASSIVE: dict[str, Any] = {"passive": True}
SLOW: dict[str, Any] = {"apply_seconds": 0.7}


@pytest.mark.parametrize("options", [PASSIVE, SLOW], ids=["passive", "slow"])
def test_crashes_do_it_no_harm(options: dict[str, Any]) -> None:
    assert problem(rough_spec("log-shipping", 1, **options)) is None


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, PASSIVE, SLOW], ids=["usual", "passive", "slow"])
def test_crashes_do_it_no_harm_at_length(options: dict[str, Any]) -> None:
    for seed in range(10):
        assert problem(rough_spec("log-shipping", seed, **options)) is None, f"seed {seed}"


FOUND: dict[str, tuple[int, dict[str, Any]]] = {
    "promoted-without-replay": (3, PASSIVE),
    "log-cut-too-early": (5, {"apply_seconds": 1.0, "compact_every": 10}),
    "acknowledges-before-backups": (3, {}),
    "returns-without-state": (8, {}),
    "applies-out-of-order": (5, {}),
}
FOUND_LATE: dict[str, tuple[int, dict[str, Any]]] = {"stale-backup-promoted": (40, {}), "no-idempotence": (30, {})}


def found(flaw: str, limit: int, options: dict[str, Any]) -> None:
    for seed in range(limit):
        told = problem(rough_spec("log-shipping", seed, [flaw], **options), stop_at_broken=True)
        if told is not None:
            print(f"{flaw}, seed {seed}: {told}")
            return
    pytest.fail(f"{flaw} went unnoticed in {limit} runs")


@pytest.mark.parametrize("flaw", FOUND)
def test_a_flaw_is_noticed(flaw: str) -> None:
    found(flaw, *FOUND[flaw])


@pytest.mark.slow
@pytest.mark.parametrize("flaw", FOUND_LATE)
def test_a_rare_flaw_is_noticed(flaw: str) -> None:
    found(flaw, *FOUND_LATE[flaw])


def test_every_flaw_is_looked_for() -> None:
    own = [name for name, place in flaws_of("log-shipping").places.items() if ".host:" not in place]
    assert sorted([*FOUND, *FOUND_LATE]) == sorted(own)
