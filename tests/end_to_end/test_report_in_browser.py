"""The report in a real browser: it draws without a complaint, loads nothing, and does what pointer, keys and address ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report import write_index, write_report
from tests.support.browser import BROWSERS, Browser, find_browser
from tests.support.sample_run import KINDS

EXECUTABLE = find_browser()
CTRL, SHIFT = 2, 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason=f"no browser: none of {', '.join(BROWSERS)} is installed"),
]


class Reader:
    """Somebody who reads a report."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def open(self, page: Path, fragment: str = "") -> None:
        self.browser.open(page, fragment)
        assert self.attribute("ready") == "true", self.browser.complaints

    def attribute(self, name: str) -> str | None:
        found: str | None = self.browser.evaluate(f"document.documentElement.dataset.{name} ?? null")
        return found

    @property
    def view(self) -> tuple[float, float]:
        """What the plots show, in seconds."""
        began, ended = (self.attribute("view") or "").split(",")
        return int(began) / 1e6, int(ended) / 1e6

    @property
    def tip(self) -> str:
        """What the page tells of the thing pointed at."""
        return str(
            self.browser.evaluate("((tip) => (tip.hidden ? '' : tip.innerText))(document.getElementById('tip'))")
        )

    def place(self, plot: str, x: float, y: float) -> tuple[float, float]:
        """Where a point of a plot is in the window, after scrolling there."""
        box = self.browser.evaluate(
            f"""(() => {{
                const canvas = document.querySelector('[data-plot="{plot}"]');
                canvas.scrollIntoView({{ block: "center" }});
                const box = canvas.getBoundingClientRect();
                return [box.left, box.top];
            }})()"""
        )
        return box[0] + x, box[1] + y

    def point(self, plot: str, x: float, y: float) -> None:
        self.browser.mouse("mouseMoved", *self.place(plot, x, y))

    def choose(self, picker: str, option: int) -> None:
        self.browser.evaluate(
            f"((pick) => {{ pick.selectedIndex = {option}; pick.dispatchEvent(new Event('change')); }})"
            f"(document.getElementById('{picker}'))"
        )
        self.browser.settle()

    def height(self, plot: str) -> int:
        return int(self.browser.evaluate(f"""document.querySelector('[data-plot="{plot}"]').clientHeight"""))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert EXECUTABLE is not None
    with Browser(EXECUTABLE, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def reader(browser: Browser) -> Reader:
    return Reader(browser)


@pytest.fixture(scope="module")
def violation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(KINDS["violation"](tmp_path_factory.mktemp("violation")))


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(KINDS["valid"](tmp_path_factory.mktemp("valid")))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_report_draws_without_a_complaint_and_loads_nothing(reader: Reader, tmp_path: Path, kind: str) -> None:
    page = write_report(KINDS[kind](tmp_path))
    reader.open(page)
    assert reader.browser.complaints == []
    assert reader.browser.requests == [page.as_uri()]
    if kind not in ("failed", "empty"):
        assert int(reader.attribute("drawn") or 0) > 0


def test_an_index_opens_without_a_complaint(reader: Reader, tmp_path: Path) -> None:
    write_report(KINDS["failed"](tmp_path / "failed"))
    reader.browser.open(write_index(tmp_path))
    assert reader.browser.complaints == []


def test_strings_of_a_history_make_no_elements(reader: Reader, tmp_path: Path) -> None:
    reader.open(write_report(KINDS["nasty"](tmp_path)))
    assert reader.browser.evaluate("document.images.length") == 0
    assert reader.browser.evaluate("document.scripts.length") == 2
    assert "onerror=alert(1)" in reader.browser.evaluate("document.title")


def test_the_policy_stops_what_would_slip_through(reader: Reader, violation: Path) -> None:
    page = violation.with_name("slipped.html")
    slipped = "<script>document.documentElement.dataset.slipped = 1</script><img src=x>"
    page.write_text(violation.read_text("utf-8").replace("<main>", f"{slipped}<main>"), "utf-8")
    reader.open(page)
    assert reader.attribute("slipped") is None
    assert any("Content Security Policy" in complaint for complaint in reader.browser.complaints)


def test_it_opens_at_the_first_finding_and_shows_all_otherwise(reader: Reader, violation: Path, valid: Path) -> None:
    reader.open(violation)
    began, ended = reader.view
    assert ended - began < 6
    reader.open(valid)
    assert reader.view == (0, pytest.approx(20.67, abs=0.2))


def test_the_address_leads_to_a_time_a_key_and_a_finding(reader: Reader, violation: Path) -> None:
    reader.open(violation)
    at_finding = reader.view
    reader.open(violation, "#t=3,4.5")
    assert reader.view == (3, 4.5)
    assert reader.browser.evaluate("scrollY") == 0
    reader.open(violation, "#finding=0")
    assert reader.view == at_finding
    assert reader.browser.evaluate("scrollY") > 0
    reader.open(violation, "#t=0,20&key=k0.0")
    assert reader.browser.evaluate("document.getElementById('pick-key').value") == "k0.0"


def test_an_address_that_leads_nowhere_is_passed_over(reader: Reader, valid: Path) -> None:
    reader.open(valid, "#finding=99&t=x,y&key=nothing")
    assert reader.browser.complaints == []
    assert reader.view[0] == 0


def test_the_button_of_a_finding_leads_back_to_it(reader: Reader, violation: Path) -> None:
    reader.open(violation)
    at_finding = reader.view
    for _ in range(2):
        reader.browser.evaluate("document.querySelector('[data-do=all]').click()")
        reader.browser.settle()
        assert reader.view[0] == 0
        reader.browser.evaluate("document.querySelector('[data-finding]').click()")
        reader.browser.settle()
        assert reader.view == at_finding


def test_the_wheel_with_ctrl_zooms_around_the_pointer(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    before = reader.view
    place = reader.place("timeline", 600, 30)
    reader.browser.mouse("mouseWheel", *place, deltaX=0, deltaY=-300, modifiers=CTRL)
    after = reader.view
    assert before[0] < after[0] < after[1] < before[1]
    pointed = before[0] + (600 - 84) / 1102 * (before[1] - before[0])
    share = (pointed - after[0]) / (after[1] - after[0])
    assert share == pytest.approx((600 - 84) / 1102, abs=0.02)


def test_the_wheel_alone_scrolls_the_page_until_the_plots_have_the_focus(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    place = reader.place("latency", 600, 30)
    whole = reader.view
    reader.browser.mouse("mouseWheel", *place, deltaX=0, deltaY=-40)
    assert reader.view == whole
    reader.browser.evaluate("document.getElementById('plots').focus({ preventScroll: true })")
    reader.browser.mouse("mouseWheel", *reader.place("latency", 600, 30), deltaX=0, deltaY=-40)
    assert reader.view != whole


def test_dragging_with_shift_zooms_and_without_pans(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    x, y = reader.place("latency", 0, 20)
    reader.browser.drag((x + 500, y), (x + 300, y), modifiers=SHIFT)
    zoomed = reader.view
    assert 2 < zoomed[1] - zoomed[0] < 6
    reader.browser.drag((x + 500, y), (x + 300, y))
    panned = reader.view
    assert panned[1] - panned[0] == pytest.approx(zoomed[1] - zoomed[0], abs=0.001)
    assert panned[0] > zoomed[0] + 0.3


def test_dragging_in_the_overview_chooses_a_stretch(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    x, y = reader.place("overview", 0, 20)
    reader.browser.drag((x + 300, y), (x + 500, y))
    began, ended = reader.view
    assert 2 < ended - began < 6
    reader.browser.drag((x + 400, y), (x + 500, y))
    assert reader.view[0] > began + 1


def test_buttons_and_keys_zoom_and_pan(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    whole = reader.view
    reader.browser.evaluate("document.querySelector('[data-do=in]').click()")
    reader.browser.settle()
    zoomed = reader.view
    assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) / 2, abs=0.001)
    reader.browser.evaluate("document.getElementById('plots').focus()")
    reader.browser.press("ArrowRight")
    assert reader.view[0] > zoomed[0]
    reader.browser.press("+")
    assert reader.view[1] - reader.view[0] < zoomed[1] - zoomed[0]
    reader.browser.press("0")
    assert reader.view == whole


def test_no_view_leaves_the_run(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    whole = reader.view
    reader.browser.evaluate("document.getElementById('plots').focus()")
    for key in ("-", "ArrowLeft", "-", "ArrowRight"):
        reader.browser.press(key)
        assert reader.view == whole


def test_pointing_at_an_operation_tells_everything_about_it(reader: Reader, violation: Path) -> None:
    reader.open(violation)
    x = 84
    while "it happened" not in reader.tip:
        assert x < 400, "no operation found in the first lane"
        reader.point("timeline", x, 11)
        x += 6
    for part in ("outcome", "process", "function", "key", "replica", "called", "returned", "took", "history.jsonl"):
        assert part in reader.tip


def test_a_click_keeps_what_is_told_until_escape(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    place = reader.place("roles", 300, 10)
    reader.browser.mouse("mouseMoved", *place)
    told = reader.tip
    assert "n1: leader (in charge)" in told
    reader.browser.mouse("mousePressed", *place, button="left", clickCount=1)
    reader.browser.mouse("mouseReleased", *place, button="left", clickCount=1)
    reader.browser.mouse("mouseMoved", place[0], place[1] + 400)
    assert reader.tip == told
    reader.browser.press("Escape")
    assert reader.tip == ""


def test_pointing_at_a_fault_tells_its_evidence(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    reader.point("faults", 84 + 1102 * 3 / 20.6, 10)
    assert "#1 partition" in reader.tip
    assert "12 of 12 cut links let no ping through" in reader.tip
    assert "n1 (leader), n4" in reader.tip


def test_choosing_a_process_shows_it_alone(reader: Reader, valid: Path) -> None:
    reader.open(valid)
    before = reader.height("timeline")
    reader.choose("pick-process", 1)
    assert reader.height("timeline") < before / 2
    reader.choose("pick-process", 0)
    assert reader.height("timeline") == before


@pytest.mark.parametrize("width", [1200, 700])
def test_the_page_never_runs_wider_than_the_window(reader: Reader, violation: Path, width: int) -> None:
    reader.browser.resize(width, 900)
    try:
        reader.open(violation)
        assert reader.browser.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        reader.browser.resize(1300, 1000)
