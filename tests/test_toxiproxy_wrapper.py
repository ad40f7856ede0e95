"""The network of a cluster, on the embedded server: in one tick, and one call at a time as a real Toxiproxy needs it.

With `TOXIPROXY_URL` set, what doesn't kill the server runs on the real one as well.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from faults.cluster import CLEAR, Condition, Link, Mode, Network, NetworkError
from faults.toxiproxy import ProxyAddress, ToxiproxyNetwork, wait_for_server
from tests.support.proxy import (
    GIVE_UP_SECONDS,
    LIMIT_SECONDS,
    Api,
    Client,
    CountingUpstream,
    ProxyProcess,
    eventually,
    free_port,
    real_server,
)

N1_N2, N2_N1, C_N1 = Link("n1", "n2"), Link("n2", "n1"), Link("client", "n1")
LINKS = (N1_N2, N2_N1, C_N1)

DROP = Condition(Mode.DROP)
REFUSE = Condition(Mode.REFUSE)
RESET = Condition(Mode.RESET)
LATENCY = Condition(Mode.LATENCY, "requests", latency_ms=50)
SLOW = Condition(Mode.SLOW, rate_bytes_per_second=50_000)


class OneByOne(ToxiproxyNetwork):
    """Drives the embedded server as it must drive a real one: without the call that changes many proxies at once."""

    def create(self) -> None:
        super().create()
        self._one_tick = False


@pytest.fixture(scope="module")
def process() -> Iterator[ProxyProcess]:
    with ProxyProcess() as process:
        yield process


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
    upstream = CountingUpstream()
    yield upstream
    upstream.close()


def addresses(upstream: str) -> dict[Link, ProxyAddress]:
    return {link: ProxyAddress(f"127.0.0.1:{free_port()}", upstream) for link in LINKS}


class Ground:
    """A network, and its links as clients see them."""

    def __init__(self, network: ToxiproxyNetwork, api: Api, places: dict[Link, ProxyAddress]) -> None:
        self.network = network
        self.api = api
        self.ports = {link: int(place.listen.rpartition(":")[2]) for link, place in places.items()}

    def ask(self, link: Link, expected: str = "ok") -> str:
        """How a request over the link comes out; only what is expected to time out is not waited for."""
        client = Client(self.ports[link], GIVE_UP_SECONDS if expected == "timeout" else LIMIT_SECONDS)
        try:
            return client.ask()
        finally:
            client.close()

    def expect(self, *outcomes: str) -> None:
        """Assert how requests over all LINKS come out."""
        assert tuple(map(self.ask, LINKS, outcomes)) == outcomes

    def shown(self, link: Link) -> tuple[bool, set[tuple[str, str]]]:
        """Enabled, and the toxics as (type, stream)."""
        proxy = self.api.do("GET", f"/proxies/{link.source}-to-{link.target}")
        return proxy["enabled"], {(toxic["type"], toxic["stream"]) for toxic in proxy["toxics"]}


@pytest.fixture(params=["one tick", "one by one", *(["real"] if real_server() else [])])
def ground(request: pytest.FixtureRequest, process: ProxyProcess, upstream: CountingUpstream) -> Iterator[Ground]:
    api = real_server() if request.param == "real" else process.api
    assert api is not None
    places = addresses(upstream.address)
    network = (OneByOne if request.param == "one by one" else ToxiproxyNetwork)(api.host, api.port, places)
    network.create()
    yield Ground(network, api, places)
    network.close()


def test_it_is_a_network(ground: Ground) -> None:
    network: Network = ground.network
    assert network.conditions() == dict.fromkeys(LINKS, CLEAR)
    assert network.tainted is None


@pytest.mark.parametrize(
    ("condition", "enabled", "toxics", "outcome"),
    [
        (CLEAR, True, set(), "ok"),
        (DROP, True, {("timeout", "upstream"), ("timeout", "downstream")}, "timeout"),
        (Condition(Mode.DROP, "requests"), True, {("timeout", "upstream")}, "timeout"),
        (Condition(Mode.DROP, "responses"), True, {("timeout", "downstream")}, "timeout"),
        (REFUSE, False, set(), "refused"),
        (RESET, True, {("reset_peer", "upstream"), ("reset_peer", "downstream")}, "reset"),
        (LATENCY, True, {("latency", "upstream")}, "ok"),
        (
            Condition(Mode.LATENCY, latency_ms=1000),
            True,
            {("latency", "upstream"), ("latency", "downstream")},
            "timeout",
        ),
        (SLOW, True, {("bandwidth", "upstream"), ("bandwidth", "downstream")}, "ok"),
    ],
    ids=lambda value: " ".join(sorted(map(str, value))) if isinstance(value, set) else str(value),
)
def test_a_condition_is_in_force_when_apply_returns_and_gone_when_it_is_cleared(
    ground: Ground, condition: Condition, enabled: bool, toxics: set[tuple[str, str]], outcome: str
) -> None:
    ground.network.apply({N1_N2: condition})
    assert ground.shown(N1_N2) == (enabled, toxics)
    assert ground.ask(N1_N2, outcome) == outcome
    assert ground.ask(N2_N1) == "ok"
    assert ground.network.conditions() == {N1_N2: condition, N2_N1: CLEAR, C_N1: CLEAR}
    ground.network.clear()
    assert ground.shown(N1_N2) == (True, set())
    assert ground.ask(N1_N2) == "ok"


def round_trip(conditions: Sequence[Condition]) -> list[Condition]:
    """A walk in which each one follows each other one once: forth to those with a higher place, and back from each."""
    walk = []
    for first, condition in enumerate(conditions):
        walk.append(condition)
        for other in conditions[first + 2 :]:
            walk += [other, condition]
    return [*walk, *reversed(conditions[:-1])]


def test_a_round_trip_goes_every_way_once() -> None:
    conditions = [Condition(Mode.LATENCY, latency_ms=number) for number in range(1, 7)]
    walk = round_trip(conditions)
    assert sorted(map(str, itertools.pairwise(walk))) == sorted(map(str, itertools.permutations(conditions, 2)))


def test_every_condition_can_follow_every_other(ground: Ground) -> None:
    conditions = [CLEAR, DROP, Condition(Mode.DROP, "requests"), REFUSE, RESET, LATENCY, SLOW]
    conditions += [Condition(Mode.LATENCY, latency_ms=20, jitter_ms=5), Condition(Mode.SLOW, "responses", 0, 0, 9)]
    for after in round_trip(conditions):
        ground.network.apply({C_N1: after})
        assert ground.network.conditions()[C_N1] == after
        enabled, toxics = ground.shown(C_N1)
        assert enabled == (after.mode is not Mode.REFUSE)
        assert len({stream for _, stream in toxics}) == len(toxics)
        assert bool(toxics) == (after.mode not in (Mode.CLEAR, Mode.REFUSE))


def test_many_links_change_at_once_and_the_others_stay(ground: Ground) -> None:
    ground.network.apply({C_N1: LATENCY})
    ground.network.apply({N1_N2: DROP, N2_N1: REFUSE})
    ground.network.apply({N1_N2: DROP, N2_N1: REFUSE})
    assert ground.network.conditions() == {N1_N2: DROP, N2_N1: REFUSE, C_N1: LATENCY}
    ground.expect("timeout", "refused", "ok")


def test_a_rate_is_never_nothing(ground: Ground) -> None:
    ground.network.apply({N1_N2: Condition(Mode.SLOW, "requests", rate_bytes_per_second=1)})
    toxics = ground.api.do("GET", "/proxies/n1-to-n2/toxics")
    assert [toxic["attributes"] for toxic in toxics] == [{"rate": 1}]


def test_what_somebody_else_changed_is_put_right(ground: Ground) -> None:
    ground.api.do("POST", "/proxies/n1-to-n2/toxics", {"type": "latency", "attributes": {"latency": 60_000}})
    ground.api.do("POST", "/proxies/n2-to-n1", {"enabled": False})
    ground.network.clear()
    ground.expect("ok", "ok", "ok")


def test_a_link_without_a_proxy_is_an_error(ground: Ground) -> None:
    with pytest.raises(NetworkError, match="no proxy for the link n7->n8"):
        ground.network.apply({Link("n7", "n8"): DROP})


def test_a_port_that_was_taken_meanwhile_is_an_error_and_the_other_links_can_still_be_mended(ground: Ground) -> None:
    ground.network.apply({N1_N2: REFUSE, N2_N1: REFUSE})
    with socket.create_server(("127.0.0.1", ground.ports[N1_N2])):
        with pytest.raises(NetworkError, match=f"127.0.0.1:{ground.ports[N1_N2]}.*in use"):
            ground.network.apply({N1_N2: CLEAR})
        ground.network.apply({N2_N1: CLEAR})
        assert ground.ask(N2_N1) == "ok"
    ground.network.clear()
    assert ground.ask(N1_N2) == "ok"


def test_it_takes_over_what_an_earlier_run_left_and_deletes_only_its_own(
    process: ProxyProcess, upstream: CountingUpstream
) -> None:
    places = addresses(upstream.address)
    left = {"name": "n1-to-n2", "listen": places[N1_N2].listen, "upstream": upstream.address}
    other = {"name": "somebody-else", "upstream": upstream.address}
    process.api.do("POST", "/populate", [left, other])
    process.api.do("POST", "/proxies/n1-to-n2/toxics", {"type": "timeout"})
    process.api.do("POST", "/proxies/n1-to-n2", {"enabled": False})
    network = ToxiproxyNetwork("127.0.0.1", process.port, places)
    network.create()
    ground = Ground(network, process.api, places)
    ground.expect("ok", "ok", "ok")
    network.close()
    assert list(process.api.do("GET", "/proxies")) == ["somebody-else"]
    process.api.do("DELETE", "/proxies/somebody-else")


def test_traffic_is_counted_live(process: ProxyProcess, upstream: CountingUpstream) -> None:
    places = addresses(upstream.address)
    network = ToxiproxyNetwork("127.0.0.1", process.port, places)
    network.create()
    try:
        ground = Ground(network, process.api, places)
        assert ground.ask(N1_N2) == "ok"
        network.apply({N2_N1: DROP})
        assert ground.ask(N2_N1, "timeout") == "timeout"
        traffic = network.traffic()
        assert set(traffic) == set(LINKS)
        assert traffic[C_N1] == {"passed_bytes": 0, "dropped_bytes": 0, "connections": 0}
        assert traffic[N1_N2]["passed_bytes"] > 0 == traffic[N1_N2]["dropped_bytes"]
        assert traffic[N2_N1]["dropped_bytes"] > 0 == traffic[N2_N1]["passed_bytes"]
    finally:
        network.close()


def test_a_server_without_counters_has_no_traffic(process: ProxyProcess, upstream: CountingUpstream) -> None:
    network = OneByOne("127.0.0.1", process.port, addresses(upstream.address))
    network.create()
    assert network.traffic() == {}
    network.close()


@pytest.mark.parametrize("kind", [ToxiproxyNetwork, OneByOne])
def test_networks_on_different_servers_live_side_by_side(
    kind: Callable[..., ToxiproxyNetwork], upstream: CountingUpstream
) -> None:
    with contextlib.ExitStack() as stack:
        grounds = []
        for _ in range(2):
            process = stack.enter_context(ProxyProcess())
            places = addresses(upstream.address)
            network = kind("127.0.0.1", process.port, places)
            network.create()
            stack.callback(network.close)
            grounds.append(Ground(network, process.api, places))

        def change(number: int) -> None:
            for _ in range(3):
                grounds[number].network.apply(dict.fromkeys(LINKS, (DROP, REFUSE)[number]))
                grounds[number].network.clear()
            grounds[number].network.apply({N1_N2: (DROP, REFUSE)[number]})

        threads = [threading.Thread(target=change, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grounds[0].expect("timeout", "ok", "ok")
        grounds[1].expect("refused", "ok", "ok")
        assert [ground.network.tainted for ground in grounds] == [None, None]


class Mortal:
    """A server that can die and be started again on its port."""

    def __init__(self) -> None:
        self.process = ProxyProcess(free_port())
        self.port = self.process.port
        self.restarts = 0

    def die(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.process.wait()

    def restart(self) -> None:
        self.die()
        self.process.stop()
        self.process = ProxyProcess(self.port)
        self.restarts += 1


@pytest.fixture
def mortal() -> Iterator[Mortal]:
    mortal = Mortal()
    yield mortal
    mortal.process.stop()


class TestWatchdog:
    @pytest.fixture
    def places(self, upstream: CountingUpstream) -> dict[Link, ProxyAddress]:
        return addresses(upstream.address)

    @pytest.fixture
    def ground(
        self, mortal: Mortal, places: dict[Link, ProxyAddress], monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Ground]:
        monkeypatch.setattr("faults.toxiproxy.WATCH_SECONDS", 0.1)
        network = ToxiproxyNetwork("127.0.0.1", mortal.port, places, mortal.restart)
        network.create()
        network.apply({N1_N2: DROP, N2_N1: REFUSE})
        yield Ground(network, mortal.process.api, places)
        network.close()

    def assert_as_before(self, ground: Ground, mortal: Mortal) -> None:
        eventually(lambda: ground.network.tainted, "the run is marked")
        eventually(lambda: ground.ask(C_N1) == "ok", "clear links are back")
        # The conditions are put into force after the proxies were created, with the lock held all the while.
        ground.network.conditions()
        ground.expect("timeout", "refused", "ok")
        assert ground.network.conditions() == {N1_N2: DROP, N2_N1: REFUSE, C_N1: CLEAR}
        assert "\n" not in (ground.network.tainted or "")

    def test_a_server_that_dies_is_restarted_with_all_conditions(self, ground: Ground, mortal: Mortal) -> None:
        mortal.die()
        self.assert_as_before(ground, mortal)
        assert mortal.restarts == 1
        assert "connection refused" in (ground.network.tainted or "")

    def test_a_server_that_forgot_its_proxies_is_filled_and_not_restarted(self, ground: Ground, mortal: Mortal) -> None:
        for link in LINKS:
            ground.api.do("DELETE", f"/proxies/{link.source}-to-{link.target}")
        self.assert_as_before(ground, mortal)
        assert mortal.restarts == 0

    def test_a_change_does_not_wait_for_the_watchdog(self, ground: Ground, mortal: Mortal) -> None:
        mortal.die()
        ground.network.apply({C_N1: DROP})
        assert mortal.restarts == 1
        ground.expect("timeout", "refused", "timeout")
        assert ground.network.tainted

    @pytest.fixture
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("faults.toxiproxy.PROBE_SECONDS", 0.5)

    @pytest.mark.slow
    @pytest.mark.usefixtures("impatient")
    def test_a_server_that_hangs_is_restarted(self, ground: Ground, mortal: Mortal) -> None:
        mortal.die(signal.SIGSTOP)
        self.assert_as_before(ground, mortal)
        assert mortal.restarts == 1
        assert "did not answer" in (ground.network.tainted or "")

    def test_without_a_way_to_restart_a_change_fails_with_one_sentence(
        self, mortal: Mortal, places: dict[Link, ProxyAddress]
    ) -> None:
        network = ToxiproxyNetwork("127.0.0.1", mortal.port, places)
        network.create()
        mortal.die()
        with pytest.raises(NetworkError, match=r"connection refused.*nothing here can restart it"):
            network.apply({N1_N2: DROP})
        assert network.tainted
        network.close()

    def test_a_restart_that_fails_is_one_sentence(self, mortal: Mortal, places: dict[Link, ProxyAddress]) -> None:
        def fail() -> None:
            raise OSError("no more processes")

        network = ToxiproxyNetwork("127.0.0.1", mortal.port, places, fail)
        network.create()
        mortal.die()
        with pytest.raises(NetworkError, match="can't be restarted: no more processes"):
            network.apply({N1_N2: DROP})
        network.close()

    def test_closing_leaves_no_thread(self, process: ProxyProcess, places: dict[Link, ProxyAddress]) -> None:
        before = set(threading.enumerate())
        network = ToxiproxyNetwork("127.0.0.1", process.port, places)
        network.create()
        assert set(threading.enumerate()) > before
        network.close()
        assert set(threading.enumerate()) <= before


class TestStrangers:
    """What answers on the server's port, but not as it should."""

    @contextlib.contextmanager
    def stranger(self, status: int, body: bytes) -> Iterator[int]:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()

    @pytest.mark.parametrize(
        ("status", "body", "sentence"),
        [
            (200, b"<html>", "no Toxiproxy server: 200 <html>"),
            (500, b'{"error": "out of order", "status": 500}', "failed at GET /version: 500 out of order"),
            (404, b"nothing here", "refused GET /version: 404 nothing here"),
        ],
    )
    def test_creating_fails_with_one_sentence(self, status: int, body: bytes, sentence: str) -> None:
        with self.stranger(status, body) as port:
            network = ToxiproxyNetwork("127.0.0.1", port, addresses("127.0.0.1:9"))
            with pytest.raises(NetworkError, match=sentence):
                network.create()


def test_waiting_for_a_server_gives_its_version(process: ProxyProcess) -> None:
    assert wait_for_server("127.0.0.1", process.port, 5) == "2.12.0"


def test_waiting_for_a_server_that_never_comes_ends() -> None:
    with pytest.raises(NetworkError, match=r"gave up after 0\.1 s"):
        wait_for_server("127.0.0.1", free_port(), 0.1)
