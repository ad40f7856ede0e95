"""`python -m node.flaws` prints docs/flaws.md: what each flaw is, from the classes themselves."""

from __future__ import annotations

from itertools import groupby

from node.flaws import EVERY_PROTOCOL, Flaw, all_flaws

INTRODUCTION = """\
# Flaws

The classic mistakes, ready to be made. Each can be switched on in a campaign, alone or with others:

```yaml
protocols:
  - multi-paxos                                     # right
  - multi-paxos: {flaws: [promise-not-persisted]}   # wrong
```

A flaw shows what a rule is for, and whether anybody notices when it is broken. Where some faults bring it out, they are
named; the others do nothing to it, or little. `rashomon list flaws` tells the same in the terminal. This page is made by
`python -m node.flaws > docs/flaws.md` from the classes in `node/flaws/`, whose few lines each show the mistake itself.
"""


def page() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION]
    for protocol, flaws in groupby(all_flaws(), key=lambda flaw: flaw[0]):
        title = "Every protocol" if protocol == EVERY_PROTOCOL else f"`{protocol}`"
        rows = [_row(name, flaw) for _, name, flaw in flaws]
        parts.append(f"## {title}\n")
        parts.append(
            "\n".join(["| flaw | what goes wrong | the rule it breaks | shows under |", "|---|---|---|---|", *rows])
        )
        parts.append("")
    return "\n".join(parts)


def _row(name: str, flaw: type[Flaw]) -> str:
    shows = " and ".join(flaw.shows_under) if flaw.shows_under else "nothing but load"
    if flaw.shows_with:
        shows += "; sooner with " + ", ".join(f"`{option}: {value}`" for option, value in flaw.shows_with.items())
    if flaw.harmless:
        shows = f"nothing: {flaw.harmless}"
    return f"| `{name}` | {flaw.mistake} | {flaw.rule} | {shows} |"


if __name__ == "__main__":
    print(page(), end="")
