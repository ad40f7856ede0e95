"""A small web server for the folder of results, on loopback only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, redirect, render_template_string, send_from_directory
from werkzeug.security import safe_join

_LISTING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:50rem;margin:3rem auto;padding:0 1rem}
:root{color-scheme:light dark}</style><h1>{{ title }}</h1>
{% if not entries %}<p>Nothing here yet: <code>rashomon run campaigns/quickstart.yaml</code> fills it.</p>{% endif %}
<ul>{% for name in entries %}<li><a href="{{ name|urlencode }}">{{ name }}</a></li>{% endfor %}</ul></html>"""


def make_app(results: Path) -> Flask:
    """A folder shows its index.html or report.html if it has one, else its entries; a file is sent as it is."""
    app = Flask(__name__)
    root = results.resolve()

    @app.get("/")
    @app.get("/<path:way>")
    def show(way: str = "") -> Response | str | tuple[str, int]:
        place = safe_join(str(root), way) if way else str(root)
        if place is None or not _is_there(Path(place)):
            return "Not found.", 404
        path = Path(place)
        if path.is_file():
            return send_from_directory(root, way)
        if way and not way.endswith("/"):
            return Response(status=308, headers={"Location": redirect(f"/{way}/").location or "/"})
        for page in ("index.html", "report.html"):
            if (path / page).is_file():
                return send_from_directory(path, page)
        entries = sorted(
            (entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir() if entry.name[0] != "."),
            reverse=True,
        )
        return render_template_string(_LISTING, title=f"results/{way}", entries=entries)

    return app


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no such path can be: its name is too long
        return False


def serve_results(results: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; raises OSError if the port can't be used. `ready` gets the address."""
    import waitress

    server = waitress.create_server(make_app(results), host="127.0.0.1", port=port, threads=4)
    ready(f"http://127.0.0.1:{port}/")
    try:
        server.run()
    finally:
        server.close()
