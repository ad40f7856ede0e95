"""Templates and their surroundings: one page of HTML with its styles and scripts inside, that loads nothing.

Everything that a template prints is escaped, and its unseen characters are made visible. Should something slip through
nevertheless, the page's content security policy lets no script run but its own, and nothing be loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import text

_HERE = Path(__file__).parent
_SCRIPTS = ("view.js", "canvas.js", "model.js", "plots.js", "timeline.js", "page.js")


def render(template: str, **values: Any) -> str:
    """The page that `template` makes of the values."""
    return _environment().get_template(template).render(**values)


def style(*names: str) -> Markup:
    """The style sheets, to stand inside a `<style>` element."""
    return Markup("\n".join(_static(name) for name in names))


def scripts() -> Markup:
    """All scripts as one that leaves nothing in the global scope."""
    body = "\n".join(_static(name) for name in _SCRIPTS)
    return Markup(f'\n(() => {{\n"use strict";\n{body}\n}})();\n')


def policy(script: str = "") -> str:
    """The content security policy of a page whose only script is this one."""
    allowed = "'none'"
    if script:
        allowed = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@cache
def _static(name: str) -> str:
    return (_HERE / "static" / name).read_text("utf-8").strip()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        count=text.count,
        figure=text.figure,
        moment=text.moment,
        percent=text.percent,
        plain=text.plain_text,
        seconds=text.seconds,
        when=text.when,
    )
    environment.globals["took"] = text.took
    return environment


def _finalize(value: Any) -> Any:
    return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
