"""The server of results: what it shows, and what it keeps to itself."""

from __future__ import annotations

from pathlib import Path

from harness.serve import make_app


def test_reports_listings_and_files(tmp_path: Path) -> None:
    run = tmp_path / "quickstart" / "one"
    run.mkdir(parents=True)
    (run / "report.html").write_text("<p>the report</p>")
    (run / "history.jsonl").write_text("{}\n")
    client = make_app(tmp_path).test_client()
    assert "quickstart/" in client.get("/").text
    with client.get("/quickstart/one/") as page:
        assert "the report" in page.text
    assert client.get("/quickstart/one").status_code == 308
    with client.get("/quickstart/one/history.jsonl") as file:
        assert file.data == b"{}\n"
    assert client.get("/quickstart/two/").status_code == 404


def test_names_are_escaped_and_nothing_outside_is_shown(tmp_path: Path) -> None:
    inside = tmp_path / "results"
    (inside / "<b>bold").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    client = make_app(inside).test_client()
    page = client.get("/").text
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    for way in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"):
        assert client.get(way).status_code == 404


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "rashomon run" in make_app(tmp_path).test_client().get("/").text
