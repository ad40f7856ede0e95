"""Campaign files: what they may say, what they turn into, and the sentence for everything that can't be meant."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from harness.campaign import Overrides, load_campaign
from harness.errors import BadInput
from harness.spec import RunSpec

SHIPPED = sorted((Path(__file__).parent.parent / "campaigns").glob("*.yaml"))


def load(tmp_path: Path, text: str, overrides: Overrides | None = None) -> list[RunSpec]:
    file = tmp_path / "trial.yaml"
    file.write_text(textwrap.dedent(text))
    return load_campaign(file, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_campaigns_resolve_and_their_runs_survive_saving(path: Path, tmp_path: Path) -> None:
    specs = load_campaign(path)
    assert specs
    for spec in specs:
        assert spec.campaign == path.stem
        spec.save(tmp_path / "run.yaml")
        assert RunSpec.load(tmp_path / "run.yaml") == spec


def test_there_are_the_campaigns_that_the_manual_names() -> None:
    assert {path.stem for path in SHIPPED} >= {"quickstart", "primary-backup", "multi-paxos", "smoke"}


def test_one_line_is_a_campaign(tmp_path: Path) -> None:
    (spec,) = load(tmp_path, "protocols: multi-paxos")
    assert spec.campaign == "trial"
    assert spec.protocol.name == "multi-paxos"
    assert spec.workload.name == "register"
    assert spec.machine == "kv"
    assert spec.nemesis.name == "none"
    assert spec.expect == "valid"


def test_axes_multiply_in_the_order_of_the_file(tmp_path: Path) -> None:
    specs = load(
        tmp_path,
        """
        protocols: [multi-paxos, primary-backup: {acknowledge: none}]
        faults: [none, partition]
        seeds: [3, 4]
        """,
    )
    cells = [(spec.protocol.name, spec.nemesis.name, spec.seed) for spec in specs]
    assert cells[:4] == [
        ("multi-paxos", "none", 3),
        ("multi-paxos", "none", 4),
        ("multi-paxos", "partition", 3),
        ("multi-paxos", "partition", 4),
    ]
    assert len(cells) == 8
    assert len({spec.cell for spec in specs}) == 8


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    (spec,) = load(tmp_path, "{protocols: primary-backup, faults: kill}")
    assert spec.protocol.options["acknowledge"] == "all"
    assert "target" in spec.nemesis.streams[0].choices[0].options


def test_cells_take_what_they_do_not_say_from_the_top(tmp_path: Path) -> None:
    first, second = load(
        tmp_path,
        """
        replicas: 3
        protocols: multi-paxos
        cells:
          - {faults: partition}
          - {protocols: primary-backup, replicas: 4, expect: violation}
        """,
    )
    assert (first.protocol.name, first.replicas, first.nemesis.name) == ("multi-paxos", 3, "partition")
    assert (second.protocol.name, second.replicas, second.expect) == ("primary-backup", 4, "violation")


def test_schedules(tmp_path: Path) -> None:
    side, dice, fixed = load(
        tmp_path,
        """
        protocols: multi-paxos
        faults:
          - everything: [partition, kill: {target: leader, every_seconds: 9, for_seconds: 2}]
          - dice: {mix: [partition, kill: {weight: 3}], every_seconds: 4}
          - pause: {at_seconds: [1, 5.5]}
        """,
    )
    assert [stream.choices[0].fault for stream in side.nemesis.streams] == ["partition", "kill"]
    assert side.nemesis.streams[0].first_seconds < side.nemesis.streams[1].first_seconds
    assert side.nemesis.streams[1].every_seconds == 9
    assert side.nemesis.streams[1].choices[0].for_seconds == 2
    (mix,) = dice.nemesis.streams
    assert [(choice.fault, choice.weight) for choice in mix.choices] == [("partition", 1), ("kill", 3)]
    assert fixed.nemesis.streams[0].at_seconds == [1, 5.5]
    assert fixed.nemesis.streams[0].every_seconds is None


def test_same_fault_with_other_options_gets_another_name(tmp_path: Path) -> None:
    specs = load(
        tmp_path,
        """
        protocols: multi-paxos
        faults: [partition: {shape: ring}, partition: {shape: halves}]
        """,
    )
    assert [spec.nemesis.name for spec in specs] == ["partition(shape=ring)", "partition(shape=halves)"]


def test_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    overrides = Overrides(cluster="docker", seed=9, duration_seconds=3, replicas=3)
    (spec,) = load(tmp_path, "{protocols: multi-paxos, seeds: [1, 2], cells: [{replicas: 5}]}", overrides)
    assert (spec.cluster, spec.seed, spec.duration_seconds, spec.replicas) == ("docker", 9, 3, 3)


BAD = [
    ("protocols: [multi-paxso]", 1, "unknown protocol 'multi-paxso': did you mean 'multi-paxos'?"),
    ("\nprotocols:\n  - primary-backup:\n      acknowledge: most", 4, "acknowledge"),
    ("protocols:\n  - primary-backup: {acknowlege: all}", 2, "did you mean 'acknowledge'?"),
    ("replcias: 3\nprotocols: multi-paxos", 1, "did you mean 'replicas'?"),
    ("protocols: multi-paxos\nreplicas: many", 2, "replicas 'many'"),
    ("protocols: multi-paxos\nreplicas: 0", 2, "replicas 0"),
    ("protocols: multi-paxos\nfaults: [partiton]", 2, "did you mean 'partition'?"),
    ("protocols: multi-paxos\nfaults:\n  - partition: {shpae: ring}", 3, "did you mean 'shape'?"),
    ("protocols: multi-paxos\nfaults:\n  - partition: {shape: round}", 3, "shape 'round'"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {target: primary}", 3, "primary"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {every_seconds: -1}", 3, "every_seconds -1"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {every_seconds: 3, at_seconds: [1]}", 3, "exclude each other"),
    ("protocols: multi-paxos\nfaults:\n  - all: []", 3, "lists no fault"),
    ("protocols: multi-paxos\nfaults:\n  - all: 7", 3, "'all'"),
    ("protocols: multi-paxos\nfaults: 3", 2, "a nemesis is"),
    ("protocols: multi-paxos\nexpect: fine", 2, "expect 'fine'"),
    ("protocols: multi-paxos\nseeds: [1, x]", 2, "seed 'x'"),
    ("protocols: multi-paxos\nworkloads: regster", 2, "did you mean 'register'?"),
    ("protocols: multi-paxos\nmachine: vk", 2, "did you mean 'kv'?"),
    ("protocols: multi-paxos\nclients: {procesess: 3}", 2, "did you mean 'processes'?"),
    ("protocols: multi-paxos\nchecks: {checkers: [linearisable]}", 2, "did you mean 'linearizable'?"),
    ("protocols: multi-paxos\ncells:\n  - {expct: valid}", 3, "did you mean 'expect'?"),
    ("protocols: multi-paxos\nprotocols: multi-paxos", 2, "given twice"),
    ("protocols: []", 1, "no protocols"),
    ("faults: kill", 1, "no protocols"),
    ("- just\n- a list", 1, "a campaign is a mapping"),
    ("", 1, "a campaign is a mapping"),
    ("protocols: [multi-paxos\nfaults: kill", 2, "not valid YAML"),
    ("protocols: !!python/object:os.system x", 1, "not valid YAML"),
    ("protocols: multi-paxos\nname: a\0b", 2, "not valid YAML: special characters"),
    ("protocols: multi-paxos\nduration_seconds: 2001-13-01", 2, "can't be read: month"),
    ("protocols: multi-paxos\nreplicas: " + "9" * 5000, 2, "can't be read"),
    ("protocols: multi-paxos\n3: x", 2, "a key must be a plain word"),
    ("protocols: multi-paxos\nname: latest", 2, "give the campaign another `name`"),
    ("protocols: multi-paxos\nduration_seconds: .nan", 2, "duration_seconds nan"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {for_seconds: .inf}", 3, "for_seconds inf"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {at_seconds: [1, .nan]}", 3, "item 2 nan"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {at_seconds: [-1]}", 3, "item 1 -1"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {at_seconds: []}", 3, "needs a schedule"),
    ("protocols: multi-paxos\nfaults:\n  - kill: {every_seconds: 0.000000001}", 3, "every_seconds 1e-09"),
    ("protocols: multi-paxos\nclients: {rate_per_second: .inf}", 2, "rate_per_second inf"),
    ("protocols: multi-paxos\nclients: 3", 2, "should be a mapping"),
    ("protocols: multi-paxos\nreplicas: 7\ncluster: docker", 2, "the docker cluster has 5 replicas, not 7"),
    ("protocols: paxos", 1, "paxos can't replicate 'kv', only 'register': each key is one decision"),
    ("protocols: paxos", 1, "try the workload 'once'"),
    ("workloads: queue\nprotocols:\n  - raft\n  - quorum", 4, "quorum can't replicate 'queue', only 'kv'"),
    ("protocols: quorum", 1, "quorum has no 'cas' of 'kv', only 'read' and 'write': whatever depends on what is there"),
    ("protocols: multi-paxos\nmachine: kvv", 2, "unknown machine 'kvv': did you mean 'kv'?"),
]


@pytest.mark.parametrize(("text", "line", "part"), BAD, ids=[part[:30] for _, _, part in BAD])
def test_what_cannot_be_meant_is_one_sentence_with_its_line(tmp_path: Path, text: str, line: int, part: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as raised:
        load_campaign(file)
    sentence = str(raised.value)
    assert sentence.startswith(f"{file}:{line}: "), sentence
    assert part in sentence
    assert "\n" not in sentence
    assert raised.value.exit_code == 3


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        load_campaign(tmp_path / "none.yaml")
    with pytest.raises(BadInput, match="is a folder"):
        load_campaign(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not text in UTF-8"):
        load_campaign(binary)
