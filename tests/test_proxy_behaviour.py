"""What clients and services see under every toxic, and what the API answers.

The same tests run against the embedded server, always, and against a real Toxiproxy when `TOXIPROXY_URL` names one (it
must run on this machine, for its proxies lead to services on the loopback address). What the real server is known to
die of is not provoked.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.proxy import (
    GIVE_UP_SECONDS,
    Api,
    CountingUpstream,
    Ground,
    ProxyProcess,
    accept,
    address_of,
    free_port,
    raw_upstream,
    real_server,
    receive,
    receive_to_end,
)

numbers = itertools.count()


@pytest.fixture(scope="module", params=["embedded", *(["real"] if real_server() else [])])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    real = real_server()
    if request.param == "real" and real is not None:
        yield real
    else:
        with ProxyProcess() as process:
            yield process.api


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
    upstream = CountingUpstream()
    yield upstream
    upstream.close()


@pytest.fixture
def ground(api: Api, upstream: CountingUpstream) -> Iterator[Ground]:
    """A proxy before a service that speaks HTTP."""
    ground = Ground(api, f"behaviour{next(numbers)}", upstream.address)
    yield ground
    ground.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with raw_upstream() as listener:
        yield listener


@pytest.fixture
def raw(api: Api, listener: socket.socket) -> Iterator[Ground]:
    """A proxy before `listener`, whose connections the test plays itself."""
    ground = Ground(api, f"behaviour{next(numbers)}", address_of(listener))
    yield ground
    ground.close()


class TestTheTableOfToxics:
    """What the client sees, whether the service executed it, and what is left after healing."""

    def test_without_toxics_requests_pass_on_one_connection(self, ground: Ground, upstream: CountingUpstream) -> None:
        client = ground.client()
        assert client.ask() == "ok"
        port = client.local_port
        assert client.ask() == "ok"
        assert client.local_port == port
        assert upstream.executed == 2

    def test_disabling_closes_what_is_in_flight_and_refuses_what_is_new(
        self, ground: Ground, upstream: CountingUpstream
    ) -> None:
        upstream.hold_answers()
        in_flight = ground.in_background(ground.client().ask)
        upstream.wait_executed(1)
        ground.disable()
        assert in_flight.result() == "closed"
        assert ground.ask() == "refused"
        upstream.release_answers()
        ground.enable()
        assert ground.ask() == "ok"
        assert upstream.executed == 2

    @pytest.mark.parametrize(("stream", "executed"), [("upstream", 0), ("downstream", 1)])
    def test_a_black_hole_lets_the_client_wait(
        self, ground: Ground, upstream: CountingUpstream, stream: str, executed: int
    ) -> None:
        old = ground.client()
        assert old.ask() == "ok"
        toxic = ground.add("timeout", stream, timeout=0)
        assert ground.ask(GIVE_UP_SECONDS) == "timeout"
        if executed:
            upstream.wait_executed(2)
        ground.remove(toxic)
        assert old.was_hung_up()
        assert ground.ask() == "ok"
        assert upstream.executed == 2 + executed

    @pytest.mark.parametrize(("stream", "executed"), [("upstream", 0), ("downstream", 1)])
    def test_a_black_hole_that_is_removed_closes_without_a_late_answer(
        self, ground: Ground, upstream: CountingUpstream, stream: str, executed: int
    ) -> None:
        client = ground.client()
        assert client.ask() == "ok"
        toxic = ground.add("timeout", stream, timeout=0)
        waiting = ground.in_background(client.ask)
        assert ground.ask(GIVE_UP_SECONDS) == "timeout"
        assert not waiting.done()
        ground.remove(toxic)
        assert waiting.result() in ("closed", "reset")
        assert ground.ask() == "ok"
        assert upstream.executed == 2 + 2 * executed

    def test_no_bandwidth_stalls_and_then_delivers_even_what_was_given_up(
        self, ground: Ground, upstream: CountingUpstream
    ) -> None:
        client = ground.client()
        assert client.ask() == "ok"
        port = client.local_port
        toxic = ground.add("bandwidth", "upstream", rate=0)
        waiting = ground.in_background(client.ask)
        gave_up = ground.client(GIVE_UP_SECONDS)
        assert gave_up.ask() == "timeout"
        gave_up.close()
        assert not waiting.done()
        assert upstream.executed == 1
        ground.remove(toxic)
        assert waiting.result() == "ok"
        assert client.local_port == port
        upstream.wait_executed(3)  # the first, the one that waited, and the ghost of the one that gave up
        assert client.ask() == "ok"

    @pytest.mark.slow
    def test_a_late_request_is_executed_although_the_client_gave_up(
        self, ground: Ground, upstream: CountingUpstream
    ) -> None:
        ground.add("latency", "upstream", latency=900)
        client = ground.client(GIVE_UP_SECONDS)
        assert client.ask() == "timeout"
        client.close()
        assert upstream.executed == 0
        upstream.wait_executed(1)

    @pytest.mark.parametrize(("stream", "executed"), [("upstream", 0), ("downstream", 1)])
    def test_reset_peer_tears_new_connections(
        self, ground: Ground, upstream: CountingUpstream, stream: str, executed: int
    ) -> None:
        toxic = ground.add("reset_peer", stream, timeout=0)
        assert ground.ask() == "reset"
        ground.remove(toxic)
        assert ground.ask() == "ok"
        assert upstream.executed == 1 + executed

    @pytest.mark.parametrize(("stream", "executed"), [("upstream", 0), ("downstream", 1)])
    def test_reset_peer_ends_older_connections_when_data_flow(
        self, ground: Ground, upstream: CountingUpstream, stream: str, executed: int
    ) -> None:
        old = ground.client()
        assert old.ask() == "ok"
        ground.add("reset_peer", stream, timeout=0)
        assert old.ask() in ("closed", "reset")
        assert upstream.executed == 1 + executed

    def test_an_upstream_that_is_down_accepts_and_then_closes(self, api: Api) -> None:
        ground = Ground(api, f"behaviour{next(numbers)}", f"127.0.0.1:{free_port()}")
        try:
            assert ground.ask() in ("closed", "reset")
        finally:
            ground.close()

    @pytest.mark.parametrize(
        ("kind", "attributes"),
        [
            ("timeout", {"timeout": 0}),
            ("bandwidth", {"rate": 0}),
            ("latency", {"latency": 60_000}),
            ("reset_peer", {"timeout": 0}),
            ("slow_close", {"delay": 60_000}),
            ("limit_data", {"bytes": 0}),
            ("noop", {}),
        ],
    )
    @pytest.mark.parametrize("stream", ["upstream", "downstream"])
    def test_connecting_succeeds_under_every_toxic(
        self, ground: Ground, kind: str, attributes: dict[str, int], stream: str
    ) -> None:
        ground.add(kind, stream, **attributes)
        ground.connect().close()

    def test_the_service_hears_through_a_black_hole_that_the_client_hung_up(
        self, raw: Ground, listener: socket.socket
    ) -> None:
        raw.add("timeout", "upstream", timeout=0)
        client = raw.connect()
        with accept(listener) as service:
            client.sendall(b"lost")
            client.close()
            assert receive_to_end(service) == b""


class TestEachToxic:
    def test_latency_delays(self, ground: Ground) -> None:
        ground.add("latency", "downstream", latency=200)
        began = time.monotonic()
        assert ground.ask() == "ok"
        assert time.monotonic() - began >= 0.2

    def test_latency_with_jitter_delays_by_at_least_the_difference(self, ground: Ground) -> None:
        ground.add("latency", "upstream", latency=150, jitter=50)
        client = ground.client()
        for _ in range(3):
            began = time.monotonic()
            assert client.ask() == "ok"
            assert time.monotonic() - began >= 0.099

    def test_latency_delays_but_does_not_limit_the_rate(self, raw: Ground, listener: socket.socket) -> None:
        raw.add("latency", "upstream", latency=300)
        with raw.connect() as client, accept(listener) as service:
            began = time.monotonic()
            for number in range(20):
                client.sendall(bytes([number]) * 1000)
            assert receive(service, 20_000) == b"".join(bytes([number]) * 1000 for number in range(20))
            assert time.monotonic() - began >= 0.3

    def test_timeout_closes_after_its_time(self, ground: Ground, upstream: CountingUpstream) -> None:
        ground.add("timeout", "upstream", timeout=100)
        assert ground.ask() in ("closed", "reset")
        assert upstream.executed == 0

    def test_bandwidth_limits_the_rate_in_thousands_of_bytes(self, raw: Ground, listener: socket.socket) -> None:
        raw.add("bandwidth", "downstream", rate=100)
        with raw.connect() as client, accept(listener) as service:
            began = time.monotonic()
            service.sendall(b"x" * 40_000)
            assert receive(client, 40_000) == b"x" * 40_000
            assert time.monotonic() - began >= 0.35

    def test_slow_close_delays_the_end_and_nothing_else(self, raw: Ground, listener: socket.socket) -> None:
        raw.add("slow_close", "downstream", delay=300)
        with raw.connect() as client:
            with accept(listener) as service:
                service.sendall(b"bye")
            began = time.monotonic()
            assert receive(client, 3) == b"bye"
            assert receive_to_end(client) == b""
            assert time.monotonic() - began >= 0.25

    def test_slicer_cuts_and_changes_nothing(self, raw: Ground, listener: socket.socket) -> None:
        raw.add("slicer", "downstream", average_size=100, size_variation=20, delay=20_000)
        with raw.connect() as client, accept(listener) as service:
            sent = bytes(number % 251 for number in range(1000))
            service.sendall(sent)
            pieces = []
            while sum(map(len, pieces)) < len(sent):
                pieces.append(client.recv(4096))
            assert b"".join(pieces) == sent
            assert len(pieces) > 3

    def test_limit_data_passes_so_much_and_then_closes(self, raw: Ground, listener: socket.socket) -> None:
        raw.add("limit_data", "downstream", bytes=10)
        with raw.connect() as client, accept(listener) as service:
            service.sendall(b"0123")
            service.sendall(b"456789abcdef")
            assert receive_to_end(client) == b"0123456789"

    def test_noop_lets_everything_pass(self, ground: Ground) -> None:
        ground.add("noop", "upstream")
        assert ground.ask() == "ok"

    def test_a_toxic_without_toxicity_touches_nobody(self, ground: Ground) -> None:
        ground.add("timeout", "upstream", toxicity=0.0, timeout=0)
        assert ground.ask() == "ok"

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_an_update_is_felt_on_open_connections(self, ground: Ground, method: str) -> None:
        toxic = ground.add("latency", "downstream", latency=0)
        client = ground.client()
        assert client.ask() == "ok"
        ground.change(method, toxic, latency=200)
        began = time.monotonic()
        assert client.ask() == "ok"
        assert time.monotonic() - began >= 0.2
        assert ground.show()["toxics"][0]["attributes"] == {"latency": 200, "jitter": 0}

    def test_removing_latency_delivers_what_waited(self, ground: Ground) -> None:
        toxic = ground.add("latency", "downstream", latency=60_000)
        client = ground.client()
        waiting = ground.in_background(client.ask)
        assert ground.ask(GIVE_UP_SECONDS) == "timeout"
        ground.remove(toxic)
        assert waiting.result() == "ok"

    def test_toxics_survive_disabling(self, ground: Ground) -> None:
        ground.add("latency", "downstream", latency=200)
        ground.disable()
        ground.enable()
        began = time.monotonic()
        assert ground.ask() == "ok"
        assert time.monotonic() - began >= 0.2


class TestTheApi:
    def test_version(self, api: Api) -> None:
        assert api.do("GET", "/version")["version"].startswith("2.")

    def test_a_proxy_from_creation_to_deletion(self, api: Api) -> None:
        name, listen = f"api{next(numbers)}", f"127.0.0.1:{free_port()}"
        body = {"name": name, "listen": listen, "upstream": "127.0.0.1:9"}
        shown = {**body, "enabled": True, "toxics": []}
        status, answer = api.call("POST", "/proxies", body)
        assert (status, {key: answer[key] for key in shown}) == (201, shown)
        assert api.call("POST", "/proxies", body)[0] == 409
        assert api.do("GET", f"/proxies/{name}")["listen"] == listen
        assert name in api.do("GET", "/proxies")
        assert api.call("DELETE", f"/proxies/{name}") == (204, None)
        assert api.call("GET", f"/proxies/{name}")[0] == 404
        assert api.call("DELETE", f"/proxies/{name}")[0] == 404

    def test_listen_shows_the_port_that_was_got(self, api: Api) -> None:
        name = f"api{next(numbers)}"
        listen = api.do("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"})[
            "listen"
        ]
        try:
            host, port = listen.split(":")
            socket.create_connection((host, int(port))).close()
        finally:
            api.do("DELETE", f"/proxies/{name}")

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_an_update_moves_a_proxy(self, ground: Ground, upstream: CountingUpstream, method: str) -> None:
        port = free_port()
        shown = ground.api.do(method, f"/proxies/{ground.name}", {"listen": f"127.0.0.1:{port}"})
        assert shown["listen"] == f"127.0.0.1:{port}"
        assert shown["upstream"] == upstream.address
        assert ground.ask() == "refused"
        ground.port = port
        assert ground.ask() == "ok"

    def test_enabling_on_a_taken_port_is_an_error_and_leaves_it_disabled(self, ground: Ground) -> None:
        ground.disable()
        with socket.create_server(("127.0.0.1", ground.port)):
            assert ground.api.call("POST", f"/proxies/{ground.name}", {"enabled": True})[0] == 500
            assert ground.show()["enabled"] is False
        ground.enable()
        assert ground.ask() == "ok"

    def test_enabling_and_disabling_twice_is_harmless(self, ground: Ground) -> None:
        ground.enable()
        ground.disable()
        ground.disable()
        ground.enable()
        assert ground.ask() == "ok"

    def test_a_toxic_from_creation_to_deletion(self, ground: Ground) -> None:
        path = f"/proxies/{ground.name}/toxics"
        toxic = {
            "attributes": {"latency": 5, "jitter": 0},
            "name": "latency_downstream",
            "type": "latency",
            "stream": "downstream",
            "toxicity": 1,
        }
        assert ground.api.call("POST", path, {"type": "latency", "attributes": {"latency": 5}}) == (200, toxic)
        assert ground.api.call("POST", path, {"type": "latency"})[0] == 409
        assert ground.api.call("GET", path) == (200, [toxic])
        assert ground.api.call("GET", f"{path}/latency_downstream") == (200, toxic)
        assert ground.show()["toxics"] == [toxic]
        changed = {**toxic, "attributes": {"latency": 5, "jitter": 2}, "toxicity": 0.5}
        body = {"attributes": {"jitter": 2}, "toxicity": 0.5}
        assert ground.api.call("PATCH", f"{path}/latency_downstream", body) == (200, changed)
        assert ground.api.call("DELETE", f"{path}/latency_downstream") == (204, None)
        assert ground.api.call("GET", path) == (200, [])

    def test_a_toxic_with_a_name_and_a_stream_of_its_own(self, ground: Ground) -> None:
        path = f"/proxies/{ground.name}/toxics"
        ground.api.do("POST", path, {"type": "noop", "name": "nothing", "stream": "upstream"})
        ground.api.do("POST", path, {"type": "noop", "stream": "upstream"})
        assert [toxic["name"] for toxic in ground.api.do("GET", path)] == ["nothing", "noop_upstream"]

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "/proxies", b"{", 400),
            ("POST", "/proxies", {"upstream": "127.0.0.1:9"}, 400),
            ("POST", "/proxies", {"name": "x"}, 400),
            ("POST", "/proxies", {"name": 1, "upstream": "127.0.0.1:9"}, 400),
            ("POST", "/proxies/PROXY", b"{", 400),
            ("POST", "/proxies/PROXY", {"enabled": "no"}, 400),
            ("POST", "/proxies/nobody", {"enabled": False}, 404),
            ("POST", "/proxies/PROXY/toxics", b"{", 400),
            ("POST", "/proxies/PROXY/toxics", {"type": "plague"}, 400),
            ("POST", "/proxies/PROXY/toxics", {}, 400),
            ("POST", "/proxies/PROXY/toxics", {"type": "noop", "stream": "sideways"}, 400),
            ("POST", "/proxies/PROXY/toxics", {"type": "latency", "attributes": {"latency": "long"}}, 400),
            ("POST", "/proxies/PROXY/toxics", {"type": "latency", "attributes": {"latency": 1.5}}, 400),
            ("POST", "/proxies/PROXY/toxics", {"type": "noop", "toxicity": "high"}, 400),
            ("POST", "/proxies/nobody/toxics", {"type": "noop"}, 404),
            ("GET", "/proxies/nobody/toxics", None, 404),
            ("GET", "/proxies/PROXY/toxics/none", None, 404),
            ("PATCH", "/proxies/PROXY/toxics/none", {"attributes": {}}, 404),
            ("DELETE", "/proxies/PROXY/toxics/none", None, 404),
            ("POST", "/populate", b"[", 400),
            ("POST", "/populate", [{"upstream": "127.0.0.1:9"}], 400),
        ],
    )
    def test_what_is_wrong_is_refused(self, ground: Ground, method: str, path: str, body: object, status: int) -> None:
        before = ground.show()
        answered, error = ground.api.call(method, path.replace("PROXY", ground.name), body)
        assert answered == status
        assert error["status"] == status
        assert error["error"]
        assert ground.show() == before

    def test_unknown_paths_and_methods(self, api: Api) -> None:
        assert api.call("GET", "/nowhere")[0] == 404
        assert api.call("PUT", "/proxies")[0] == 405

    def test_browsers_are_not_served(self, api: Api) -> None:
        assert api.call("POST", "/reset", headers={"User-Agent": "Mozilla/5.0"})[0] == 403

    def test_populate_creates_leaves_and_replaces(self, api: Api, upstream: CountingUpstream) -> None:
        names = [f"api{next(numbers)}" for _ in range(3)]
        bodies = [
            {"name": name, "listen": f"127.0.0.1:{free_port()}", "upstream": upstream.address, "enabled": number != 2}
            for number, name in enumerate(names)
        ]
        try:
            status, answer = api.call("POST", "/populate", bodies)
            assert status == 201
            assert [(proxy["name"], proxy["enabled"]) for proxy in answer["proxies"]] == [
                (names[0], True),
                (names[1], True),
                (names[2], False),
            ]
            api.do("POST", f"/proxies/{names[0]}/toxics", {"type": "noop"})
            api.do("POST", f"/proxies/{names[0]}", {"enabled": False})
            api.do("POST", f"/proxies/{names[1]}/toxics", {"type": "noop"})
            bodies[1]["upstream"] = "127.0.0.1:9"
            api.do("POST", "/populate", bodies)
            same, moved = api.do("GET", f"/proxies/{names[0]}"), api.do("GET", f"/proxies/{names[1]}")
            assert (same["enabled"], len(same["toxics"])) == (False, 1)
            assert (moved["enabled"], len(moved["toxics"]), moved["upstream"]) == (True, 0, "127.0.0.1:9")
        finally:
            for name in names:
                api.call("DELETE", f"/proxies/{name}")

    def test_reset_enables_everything_and_removes_all_toxics(self, ground: Ground) -> None:
        ground.add("latency", "upstream", latency=60_000)
        ground.add("latency", "downstream", latency=60_000)
        ground.disable()
        assert ground.api.call("POST", "/reset") == (204, None)
        shown = ground.show()
        assert (shown["enabled"], shown["toxics"]) == (True, [])
        assert ground.ask() == "ok"
