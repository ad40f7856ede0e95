"""Values as people read them: times, counts, JSON values, and nothing that could disturb the page around it."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any

# Control characters and those that reorder or hide text around them: shown, never obeyed.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with every character that can't be seen written as an escape, such as `\\u202e`; tabs and newlines stay."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def shorten(text: str, limit: int) -> str:
    """At most about `limit` characters; says how many there were."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def value_text(value: Any, limit: int = 300) -> str:
    """Any JSON value as JSON, in one line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to be shown)"
    except (TypeError, ValueError):
        text = repr(value)
    return shorten(visible(text), limit)


def plain_text(value: Any, limit: int = 600) -> str:
    """A string as it is, anything else as JSON."""
    return shorten(visible(value), limit) if isinstance(value, str) else value_text(value, limit)


def number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    """The value as a whole number if it is a finite one, else None."""
    found = number(value)
    return None if found is None else int(found)


def count(value: Any) -> str:
    """`12,345`."""
    found = whole(value)
    return "–" if found is None else f"{found:,}"


def figure(value: Any) -> str:
    """Any figure of a statistic: numbers with at most four digits after the point, texts as they are, the rest as JSON."""
    found = number(value)
    if found is None:
        return plain_text(value, 2000)
    return f"{found:,}" if isinstance(value, int) else f"{found:,.4f}".rstrip("0").rstrip(".")


def moment(nanoseconds: Any) -> str:
    """A time since the run began: `7.123 s`."""
    found = number(nanoseconds)
    return "–" if found is None else f"{found / 1e9:.3f} s"


def seconds(value: Any) -> str:
    """A length of time given in seconds, with three digits that matter: `1.82 s`, `450 ms`, `3 min 20 s`."""
    found = number(value)
    if found is None:
        return "–"
    if found >= 120:
        minutes, rest = divmod(round(found), 60)
        return f"{minutes} min {rest} s"
    if found >= 1:
        return f"{found:.3g} s" if found < 100 else f"{found:.0f} s"
    return f"{found * 1000:.3g} ms"


def took(call: Any, returned: Any) -> str:
    """How long it was from `call` to `returned`, both in nanoseconds."""
    began, ended = number(call), number(returned)
    return "–" if began is None or ended is None else seconds((ended - began) / 1e9)


def percent(fraction: Any) -> str:
    """`99.7 %`; never rounded up to 100 nor down to 0."""
    found = number(fraction)
    if found is None:
        return "–"
    shown = f"{found * 100:.1f}"
    if shown == "100.0" and found < 1:
        return "> 99.9 %"
    if shown == "0.0" and found > 0:
        return "< 0.1 %"
    return f"{shown.removesuffix('.0')} %"


def when(text: str) -> str:
    """A date and time in ISO 8601, as people write it: `2026-01-31 09:30:00 UTC`; anything else as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname() or ''}".rstrip()


def options(value: Any) -> str:
    """The options of something named, and its flaws: `acknowledge=none, sync-skipped`; empty if it has none."""
    if not isinstance(value, dict):
        return ""
    found, flaws = value.get("options"), value.get("flaws")
    marks = [f"{option}={plain_text(setting)}" for option, setting in found.items()] if isinstance(found, dict) else []
    marks += [plain_text(flaw) for flaw in flaws] if isinstance(flaws, list) else []
    return ", ".join(marks)


def named(value: Any) -> str:
    """Something by name, with its options if it has any: `primary-backup(acknowledge=none)`."""
    if isinstance(value, dict):
        name, its = plain_text(value.get("name", "–")), options(value)
        return f"{name}({its})" if its else name
    return "–" if value is None else plain_text(value)
