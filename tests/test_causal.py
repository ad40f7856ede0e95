"""Causal replication: no effect without its cause, all alike in the end; then random mishaps, and proof they find bugs."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import CHECKERS
from harness.checkers.checker import Limits
from harness.simulation.simulate import Simulated, simulate
from harness.spec import RunSpec
from node.flaws import flawed, flaws_of
from node.protocol import Protocol
from node.protocols import PROTOCOLS, causal
from node.protocols.causal import Causal
from tests.support.fake_network import FakeNetwork, Weather
from tests.support.simulations import STORM, simulated_spec

LIMITS = Limits(20.0, 512)


def network(replicas: int = 3, protocol: type[Protocol] = Causal, **options: Any) -> FakeNetwork:
    net = FakeNetwork(protocol, replicas, 1, options)
    net.run(0.3)
    return net


def write(net: FakeNetwork, replica: str, key: str, value: Any) -> None:
    assert net.call(replica, f"client of {replica}", net.unique(), "write", key, value).type == "ok"


def read(net: FakeNetwork, replica: str, key: str) -> Any:
    outcome = net.call(replica, f"client of {replica}", net.unique(), "read", key)
    assert outcome.type == "ok"
    return outcome.result


def alike(net: FakeNetwork) -> bool:
    return len({(net[name].status()["commit_index"], net[name].status()["digest"]) for name in net.replicas}) == 1


# ---- one rule after the other


def test_it_is_known_by_its_name_and_nobody_is_in_charge() -> None:
    assert PROTOCOLS["causal"] is Causal and Causal.chief is None


def test_who_was_away_for_so_long_that_not_all_of_it_can_wait_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What all others wait for may find no room among what waits, every time that it is sent."""
    monkeypatch.setattr(causal, "WAITING_MOST", 100)
    net = network(5)
    net.partition({"n1"}, {"n2", "n3", "n4", "n5"})
    for number in range(60):
        for name in ("n2", "n3", "n4", "n5"):
            net.ask(name, f"client of {name}", number, "write", "x", f"{name} {number}")
        net.run(0.02)
    net.run(1.0)
    net.heal()
    assert net.run_until(lambda: alike(net), 5.0), net["n1"].vector
    assert not net.witness.broken


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_what_is_written_anywhere_is_there_at_once_and_everywhere_soon(replicas: int) -> None:
    net = network(replicas)
    for number, name in enumerate(net.replicas):
        write(net, name, f"k{number}", number)
        assert read(net, name, f"k{number}") == number
    assert net.run_until(lambda: alike(net), 1.0)
    assert [read(net, name, "k0") for name in net.replicas] == [0] * replicas
    assert not net.witness.broken


def test_a_replica_that_is_alone_goes_on() -> None:
    net = network()
    net.partition({"n1"}, {"n2"}, {"n3"})
    for name in net.replicas:
        write(net, name, "x", name)
        assert read(net, name, "x") == name
    net.heal()
    assert net.run_until(lambda: alike(net), 2.0)
    assert len({read(net, name, "x") for name in net.replicas}) == 1 and not net.witness.broken


def test_what_would_need_agreement_is_refused_for_certain() -> None:
    assert network().call("n1", "c", 1, "cas", "x", [None, 1]).type == "fail"


def question_and_answer(protocol: type[Protocol]) -> tuple[Any, Any]:
    """n1 asks, n2 has read that and answers, and n3 hears from n2 alone: what it finds of the answer and the question."""
    net = network(3, protocol)
    net.cut("n1", "n3")
    net.spies.append(lambda source, target, message: None)
    write(net, "n1", "question", "?")
    assert net.run_until(lambda: net["n2"].vector["n1"] == 1, 1.0)
    net.cut("n2", "n1")
    # n2 hands the question on as well: to see n3 wait, that has to be lost.
    kept = net["n2"].kept["n1"].pop(1)
    assert read(net, "n2", "question") == "?"
    net["n2"]._send = lambda *_: None
    write(net, "n2", "answer", "!")
    update = next(iter(net["n2"].kept["n2"].values()))
    net["n3"].on_message("n2", {"type": "updates", "updates": [list(update)]})
    seen = read(net, "n3", "answer"), read(net, "n3", "question")
    net["n3"].on_message("n1", {"type": "updates", "updates": [list(kept)]})
    assert (read(net, "n3", "answer"), read(net, "n3", "question")) == ("!", "?")
    return seen


def test_an_answer_waits_for_its_question() -> None:
    assert question_and_answer(Causal) == (None, None)


@pytest.mark.parametrize("flaw", ["ignores-causes", "forgets-what-was-read"])
def test_with_these_mistakes_the_answer_is_there_without_its_question(flaw: str) -> None:
    assert question_and_answer(flawed("causal", [flaw])) == ("!", None)


def test_of_two_writes_that_do_not_know_of_each_other_all_choose_the_same() -> None:
    net = network(5)
    for name in net.replicas:
        net.ask(name, f"client of {name}", 1, "write", "x", name)
    net.run(0.05)
    assert {read(net, name, "x") for name in net.replicas} == set(net.replicas)
    assert net.run_until(lambda: alike(net), 2.0)
    assert {read(net, name, "x") for name in net.replicas} == {"n5"}


def test_whoever_has_an_update_hands_it_on_when_its_writer_is_gone() -> None:
    net = network()
    net.cut("n1", "n3")
    write(net, "n1", "x", 1)
    assert net.run_until(lambda: net["n2"].vector["n1"] == 1, 1.0)
    net.kill("n1")
    assert net.run_until(lambda: net["n3"].vector["n1"] == 1, 2.0)
    assert read(net, "n3", "x") == 1


def test_a_write_that_is_sent_again_is_done_once() -> None:
    net = network()
    answers = [net.ask("n1", "c", 1, "write", "x", 1) for _ in range(3)]
    net.run(0.1)
    assert [answer.outcome.type for answer in answers if answer.outcome] == ["ok"] * 3
    write(net, "n1", "x", 2)
    net.kill("n1")
    net.restart("n1")
    assert net.call("n1", "c", 1, "write", "x", 1).type == "ok"
    assert read(net, "n1", "x") == 2
    assert net.call("n1", "c", 0, "write", "x", 3).type == "info"


def test_lost_messages_are_made_up_for() -> None:
    net = network(5)
    net.weather = Weather(loss=0.3, duplication=0.2, straggling=0.2)
    for number in range(40):
        write(net, f"n{number % 5 + 1}", f"k{number % 3}", number)
        net.run(0.02)
    net.weather = Weather()
    assert net.run_until(lambda: alike(net), 5.0)
    assert not net.witness.broken


def test_the_journal_is_compacted_and_who_lacks_more_than_is_kept_is_given_the_state() -> None:
    net = network(3, compact_every=20)
    net.partition({"n1", "n2"}, {"n3"})
    write(net, "n3", "mine", 1)
    for number in range(60):
        write(net, "n1", f"k{number % 3}", number)
    net.run(1.0)
    assert all(len(host.durable) <= 40 for host in net.hosts.values())
    net.kill("n1", "n2")
    net.restart("n1", "n2")
    assert read(net, "n1", "k2") == 59
    net.heal()
    assert net.run_until(lambda: alike(net), 3.0)
    assert read(net, "n3", "k2") == 59 and read(net, "n1", "mine") == 1
    assert net.sent["state"] > 0 and not net.witness.broken


# ---- what clients see


TRIANGLES: dict[str, Any] = {
    "name": "triangles",
    "streams": [
        {
            "choices": [{"fault": "partition", "options": {"shape": "bridge"}, "for_seconds": 0.7}],
            "every_seconds": 0.9,
            "first_seconds": 0.2,
        }
    ],
}
"""Two replicas that don't see each other, and one that both see: what the one had of the other comes without its causes."""


def run(seed: int, flaws: tuple[str, ...] = (), **changes: Any) -> tuple[RunSpec, Simulated]:
    rough = {"delay_ms": 1, "jitter_ms": 10, "lost": 0.01, "overtaking": 0.3, "duplicated": 0.05}
    options = {"spread_seconds": 0.03, "heartbeat_seconds": 0.4, "compact_every": 40}
    spec = simulated_spec(
        seed=seed,
        protocol={"name": "causal", "options": options, "flaws": list(flaws)},
        workload={"name": "crossing", "options": {"processes_per_key": 9}},
        **{
            "clients": {"processes": 9, "rate_per_second": 300, "mode": "pinned", "timeout_seconds": 0.4},
            "nemesis": STORM,
            "simulation": rough,
            "duration_seconds": 3.0,
            **changes,
        },
    )
    return spec, simulate(spec, statuses=False)


def verdict(checker: str, spec: RunSpec, simulated: Simulated) -> str:
    return str(CHECKERS[checker]().check(spec, simulated.events, LIMITS).verdict)


def sound(seed: int, **changes: Any) -> None:
    print(f"seed {seed}")
    spec, simulated = run(seed, **changes)
    assert not simulated.broken and simulated.stalled is None
    assert verdict("causal", spec, simulated) == verdict("convergent", spec, simulated) == "valid"


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_causality_holds(seed: int) -> None:
    sound(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(2))
def test_whatever_happens_at_length(block: int) -> None:
    for seed in range(100 + 10 * block, 110 + 10 * block):
        sound(seed, replicas=3 + seed % 3, nemesis=TRIANGLES if seed % 2 else STORM)


def test_it_is_not_linearizable() -> None:
    spec, simulated = run(1, nemesis={"name": "none"})
    assert verdict("linearizable", spec, simulated) == "violation"


FOUND = {
    "ignores-causes": 2,
    "forgets-what-was-read": 5,
    "skips-updates": 3,
    "last-to-arrive-wins": 2,
    "counts-only-its-own": 3,
}


@pytest.mark.parametrize("flaw", FOUND)
def test_a_mistake_is_found(flaw: str) -> None:
    for seed in range(FOUND[flaw]):
        spec, simulated = run(seed, (flaw,), nemesis=STORM if flaw == "skips-updates" else TRIANGLES)
        found = {one for one in ("causal", "convergent") if verdict(one, spec, simulated) == "violation"}
        print(f"{flaw}, seed {seed}: {sorted(found)}, {[one.law for one in simulated.broken]}")
        if found or simulated.broken:
            return
    pytest.fail(f"{flaw} went unnoticed in {FOUND[flaw]} runs")


def test_every_mistake_is_looked_for() -> None:
    own = [name for name, place in flaws_of("causal").places.items() if ".host:" not in place]
    assert sorted(FOUND) == sorted(own)
