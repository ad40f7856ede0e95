"""What `rashomon list protocols` says of each: what it promises, and what of that is hunted."""

from __future__ import annotations

from harness.hunt.catalogue import survived
from node.protocol import Protocol
from node.registry import Registry


def in_words(name: str, protocol: type[Protocol]) -> str:
    """The promise as a sentence, and its parts a line each."""
    lines = [protocol.promises, f"consistency: {protocol.consistency}", f"goes on without: {protocol.tolerates}"]
    if faults := survived(name):
        lines.append(f"faults survived: {', '.join(faults)}")
    if protocol.machines is not None:
        offered = (f"{name} ({', '.join(sorted(functions))})" for name, functions in sorted(protocol.machines.items()))
        lines.append(f"machines: {', '.join(offered)}")
    return "\n".join(lines)


def entries(protocols: Registry) -> list[tuple[str, str, type[Protocol]]]:
    """All of them: name, words and class."""
    return [(name, in_words(name, protocol), protocol) for name, protocol in protocols.items()]
