"""A protocol's docstring as Markdown: its first sentence, its sections by heading, its sources."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass

from node.protocol import Protocol

_ALIGNED = re.compile(r"\S {2,}\S")


@dataclass(frozen=True)
class Lesson:
    """What a protocol's file teaches."""

    title: str
    """`Raft: the replicas elect a leader, and everybody copies the leader's log.`"""
    sections: dict[str, str]
    """Text as Markdown, by heading."""
    sources: str


def lesson(protocol: type[Protocol]) -> Lesson:
    """Of the file that the protocol is in."""
    return parse(inspect.getdoc(sys.modules[protocol.__module__]) or "")


def parse(text: str) -> Lesson:
    title, _, rest = text.partition("\n\n")
    sections: dict[str, list[str]] = {}
    sources: list[str] = []
    heading: str | None = None
    for line in rest.splitlines():
        if not line or line.startswith("    "):
            (sources if heading is None else sections[heading]).append(line.removeprefix("    "))
        elif line.startswith(("Source:", "Sources:")) or (heading is None and sources):
            heading = None
            sources.append(line)
        else:
            heading = line
            sections[heading] = []
    told = " ".join(" ".join(sources).split())
    return Lesson(_joined(title), {name: _markdown(lines) for name, lines in sections.items()}, told)


def _joined(text: str) -> str:
    return " ".join(text.split())


def _markdown(lines: list[str]) -> str:
    """Paragraphs and lists as they are; what is laid out in columns stays as it is laid out."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    return "\n\n".join(_block(block) for block in blocks)


def _block(block: str) -> str:
    lines = block.splitlines()
    if sum(bool(_ALIGNED.search(line)) for line in lines) > len(lines) / 2:
        return f"```\n{block}\n```"
    return block
