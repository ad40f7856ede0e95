"""Flaws: the classic mistakes, one class each, which can be switched on to see what a rule is for and who notices.

A flaw overrides a small method or two of a correct protocol, whose own file knows nothing of it; several can be switched
on together. Flaws of the host (`node.flaws.host`) fit every protocol: they do to it what a host must not do, such as to
let answers go before the journal is synced. In a campaign::

    protocols:
      - multi-paxos: {flaws: [promise-not-persisted]}

`flawed` makes the class that a replica then runs::

    flawed("multi-paxos", ["promise-not-persisted", "replies-before-sync"])

A flaw of your own is named as `package.module:Class`, a subclass of `Flaw` and of the protocol that it spoils.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.registry import Registry, UnknownName, unknown


class Flaw(Protocol):
    """One mistake in a protocol. The class overrides what is done wrong, and says in words what that is."""

    mistake: ClassVar[str]
    """One sentence: what such a replica does, or leaves undone."""
    rule: ClassVar[str]
    """One sentence: the rule that it breaks."""
    shows_under: ClassVar[tuple[str, ...]] = ()
    """Faults that bring out the harm it does, as a campaign names them; empty: load alone does."""
    shows_at: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Faults, and the moments at which they do the most harm, each as `harness.spec.ExploreSpec.moments` says it:
    `{"kill": ("send voted",)}`, if it takes a replica that dies right after it has sent such a message."""
    shows_with: ClassVar[dict[str, Any]] = {}
    """Options of the protocol with which it shows sooner, where the defaults make it rare."""
    harmless: ClassVar[str | None] = None
    """Why a correct protocol survives it, for the few which one does: nobody must find them."""

    @classmethod
    def in_words(cls) -> str:
        """All of that, for a person: a sentence a line."""
        lines = [cls.mistake, f"The rule: {cls.rule[0].lower()}{cls.rule[1:]}"]
        if cls.harmless:
            lines.append(f"Harmless: {cls.harmless}.")
        else:
            lines.append(
                f"Shows under {' and '.join(cls.shows_under)}." if cls.shows_under else "Shows without faults."
            )
        if cls.shows_at:
            moments = [f"{fault} at {moment!r}" for fault, moments in cls.shows_at.items() for moment in moments]
            lines.append(f"Shows best under {' and '.join(moments)}, simulated.")
        if cls.shows_with:
            options = ", ".join(f"{name}: {value}" for name, value in cls.shows_with.items())
            lines.append(f"Shows sooner with {options}.")
        return "\n".join(lines)


HOST_FLAWS = {
    "replies-before-sync": "node.flaws.host:RepliesBeforeSync",
    "sync-skipped": "node.flaws.host:SyncSkipped",
    "handled-twice": "node.flaws.host:HandledTwice",
    "retried-under-new-name": "node.flaws.host:RetriedUnderNewName",
}
"""Those that fit every protocol, by name."""

FLAWS: dict[str, dict[str, str]] = {
    "multi-paxos": {
        "promise-not-persisted": "node.flaws.multi_paxos:PromiseNotPersisted",
        "accepted-not-persisted": "node.flaws.multi_paxos:AcceptedNotPersisted",
        "majority-off-by-one": "node.flaws.multi_paxos:MajorityOffByOne",
        "new-leader-ignores-accepted": "node.flaws.multi_paxos:NewLeaderIgnoresAccepted",
        "lowest-ballot-wins": "node.flaws.multi_paxos:LowestBallotWins",
        "same-ballot-twice": "node.flaws.multi_paxos:SameBallotTwice",
        "replies-before-commit": "node.flaws.multi_paxos:RepliesBeforeCommit",
        "local-reads": "node.flaws.multi_paxos:LocalReads",
        "leader-reads-locally": "node.flaws.multi_paxos:LeaderReadsLocally",
        "retries-applied-twice": "node.flaws.multi_paxos:RetriesAppliedTwice",
        "gap-skipped": "node.flaws.multi_paxos:GapSkipped",
        "snapshot-without-clients": "node.flaws.multi_paxos:SnapshotWithoutClients",
    },
    "primary-backup": {
        "acknowledges-before-backups": "node.flaws.primary_backup:AcknowledgesBeforeBackups",
        "stale-backup-promoted": "node.flaws.primary_backup:StaleBackupPromoted",
        "returns-without-state": "node.flaws.primary_backup:ReturnsWithoutState",
        "no-idempotence": "node.flaws.primary_backup:NoIdempotence",
        "applies-out-of-order": "node.flaws.primary_backup:AppliesOutOfOrder",
    },
    "log-shipping": {
        "promoted-without-replay": "node.flaws.log_shipping:PromotedWithoutReplay",
        "log-cut-too-early": "node.flaws.log_shipping:LogCutTooEarly",
        "acknowledges-before-backups": "node.flaws.primary_backup:AcknowledgesBeforeBackups",
        "stale-backup-promoted": "node.flaws.primary_backup:StaleBackupPromoted",
        "returns-without-state": "node.flaws.primary_backup:ReturnsWithoutState",
        "no-idempotence": "node.flaws.primary_backup:NoIdempotence",
        "applies-out-of-order": "node.flaws.primary_backup:AppliesOutOfOrder",
    },
    "raft": {
        "votes-twice": "node.flaws.raft:VotesTwice",
        "commits-by-counting": "node.flaws.raft:CommitsByCounting",
        "no-log-matching": "node.flaws.raft:NoLogMatching",
        "short-log-wins": "node.flaws.raft:ShortLogWins",
        "stale-reads": "node.flaws.raft:StaleReads",
        "reads-before-its-first-commit": "node.flaws.raft:ReadsBeforeItsFirstCommit",
        "cuts-what-matches": "node.flaws.raft:CutsWhatMatches",
        "majority-off-by-one": "node.flaws.raft:MajorityOffByOne",
        "snapshot-without-clients": "node.flaws.raft:SnapshotWithoutClients",
        "retries-applied-twice": "node.flaws.raft:RetriesAppliedTwice",
    },
    "paxos": {
        "promise-not-persisted": "node.flaws.paxos:PromiseNotPersisted",
        "accepted-not-persisted": "node.flaws.paxos:AcceptedNotPersisted",
        "majority-off-by-one": "node.flaws.paxos:MajorityOffByOne",
        "ignores-accepted": "node.flaws.paxos:IgnoresAccepted",
        "lowest-accepted-wins": "node.flaws.paxos:LowestAcceptedWins",
        "same-number-twice": "node.flaws.paxos:SameNumberTwice",
        "accepts-below-promise": "node.flaws.paxos:AcceptsBelowPromise",
        "answers-before-majority": "node.flaws.paxos:AnswersBeforeMajority",
        "local-reads": "node.flaws.paxos:LocalReads",
    },
    "quorum": {
        "no-write-back": "node.flaws.quorum:NoWriteBack",
        "versions-by-clock": "node.flaws.quorum:VersionsByClock",
        "quorums-do-not-overlap": "node.flaws.quorum:QuorumsDoNotOverlap",
        "retries-written-twice": "node.flaws.quorum:RetriesWrittenTwice",
    },
    "leased-primary": {
        "new-primary-does-not-wait": "node.flaws.leased_primary:DoesNotWait",
        "ignores-drift": "node.flaws.leased_primary:IgnoresDrift",
        "serves-after-expiry": "node.flaws.leased_primary:ServesAfterExpiry",
        "no-fencing": "node.flaws.leased_primary:NoFencing",
        "forgets-grants": "node.flaws.leased_primary:ForgetsGrants",
    },
    "causal": {
        "ignores-causes": "node.flaws.causal:IgnoresCauses",
        "forgets-what-was-read": "node.flaws.causal:ForgetsWhatWasRead",
        "skips-updates": "node.flaws.causal:SkipsUpdates",
        "last-to-arrive-wins": "node.flaws.causal:LastToArriveWins",
        "counts-only-its-own": "node.flaws.causal:CountsOnlyItsOwn",
    },
    "read-only-replicas": {
        "time-to-live-never-ends": "node.flaws.read_only_replicas:TimeToLiveNeverEnds",
        "copies-skip-gaps": "node.flaws.read_only_replicas:CopiesSkipGaps",
        "copies-take-writes": "node.flaws.read_only_replicas:CopiesTakeWrites",
        "no-idempotence": "node.flaws.read_only_replicas:NoIdempotence",
    },
    "two-phase-commit": {
        "commits-without-all": "node.flaws.two_phase_commit:CommitsWithoutAll",
        "forgets-prepared": "node.flaws.two_phase_commit:ForgetsPrepared",
        "decides-alone": "node.flaws.two_phase_commit:DecidesAlone",
        "reads-in-doubt": "node.flaws.two_phase_commit:ReadsInDoubt",
        "no-idempotence": "node.flaws.two_phase_commit:NoIdempotence",
    },
}
"""By protocol: its own ones, by name."""


EVERY_PROTOCOL = "every protocol"


def all_flaws() -> Iterator[tuple[str, str, type[Flaw]]]:
    """Protocol (or `every protocol`), name and class of each flaw there is."""
    for protocol, places in [*FLAWS.items(), (EVERY_PROTOCOL, HOST_FLAWS)]:
        registry = Registry(f"flaw of {protocol}", places)
        for name in registry:
            yield protocol, name, registry[name]


def flaws_of(protocol: str) -> Registry:
    """All flaws that can be switched on in this protocol, by name; its own first."""
    return Registry(f"flaw of {protocol}", {**FLAWS.get(protocol, {}), **HOST_FLAWS})


def flawed(protocol: str, flaws: Sequence[str]) -> type[Protocol]:
    """The protocol with these flaws switched on; without any, the protocol itself.

    Raises `UnknownName`, one sentence, for a name that nothing has and for what is no flaw of this protocol.
    """
    correct: type[Protocol] = PROTOCOLS[protocol]
    if not flaws:
        return correct
    known = flaws_of(protocol)
    mixins = []
    for name in flaws:
        if name not in known and ":" not in name:
            raise unknown(known.kind, name, known)
        flaw = known[name]
        if not (isinstance(flaw, type) and issubclass(flaw, Flaw)):
            raise UnknownName(f"{name!r} is not a flaw: it has to be a subclass of node.flaws.Flaw")
        spoils = [base for base in flaw.__mro__ if issubclass(base, Protocol) and not issubclass(base, Flaw)]
        if not issubclass(correct, spoils[0]):
            raise UnknownName(f"{name!r} is a flaw of {spoils[0].__name__} and not of {protocol}")
        if flaw not in mixins:
            mixins.append(flaw)
    return type(correct.__name__, (*mixins, correct), {"__module__": correct.__module__})
