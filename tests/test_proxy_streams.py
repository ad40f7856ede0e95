"""The embedded server beneath HTTP: ends, resets, back-pressure, integrity, chance, and its own additions."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from faults.proxy.address import split_address
from faults.proxy.connection import ClientSide, Connection
from faults.proxy.proxy import Proxy
from faults.proxy.stream import BUFFER_BYTES, Counters
from faults.proxy.toxics import StreamName
from tests.support.proxy import (
    GIVE_UP_SECONDS,
    LIMIT_SECONDS,
    Api,
    CountingUpstream,
    Ground,
    ProxyProcess,
    accept,
    address_of,
    eventually,
    free_port,
    raw_upstream,
    receive,
    receive_to_end,
    says_something,
)

numbers = itertools.count()


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with ProxyProcess() as process:
        yield process.api


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with raw_upstream() as listener:
        yield listener


@pytest.fixture
def ground(api: Api, listener: socket.socket) -> Iterator[Ground]:
    ground = Ground(api, f"streams{next(numbers)}", address_of(listener))
    yield ground
    ground.close()


class TestEnds:
    def test_disabling_ends_both_sides_with_a_fin(self, ground: Ground, listener: socket.socket) -> None:
        with ground.connect() as client, accept(listener) as service:
            ground.disable()
            assert client.recv(1) == b""
            assert service.recv(1) == b""

    def test_reset_peer_tears_both_sides_with_an_rst_even_if_they_were_open_before(
        self, ground: Ground, listener: socket.socket
    ) -> None:
        with ground.connect() as client, accept(listener) as service:
            ground.add("reset_peer", "upstream", timeout=0)
            client.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            with pytest.raises(ConnectionResetError):
                service.recv(1)

    def test_half_closing_delivers_what_was_said_and_then_closes_both_ways(
        self, ground: Ground, listener: socket.socket
    ) -> None:
        with ground.connect() as client, accept(listener) as service:
            client.sendall(b"last words")
            client.shutdown(socket.SHUT_WR)
            assert receive_to_end(service) == b"last words"
            assert receive_to_end(client) == b""

    def test_what_waits_in_the_other_direction_arrives_before_the_end(
        self, ground: Ground, listener: socket.socket
    ) -> None:
        ground.add("latency", "downstream", latency=300)
        with ground.connect() as client, accept(listener) as service:
            service.sendall(b"under way")
            eventually(lambda: ground.traffic()["buffered_bytes"] == 9, "the answer is inside the proxy")
            client.shutdown(socket.SHUT_WR)
            assert receive_to_end(client) == b"under way"

    def test_a_blackhole_hides_that_the_client_hung_up_until_it_is_removed(
        self, ground: Ground, listener: socket.socket
    ) -> None:
        toxic = ground.add("blackhole", "upstream")
        client = ground.connect()
        with accept(listener) as service:
            client.sendall(b"lost")
            client.close()
            eventually(lambda: ground.traffic()["upstream"]["dropped_bytes"] == 4, "the data were swallowed")
            assert not says_something(service, GIVE_UP_SECONDS)
            ground.remove(toxic)
            assert receive_to_end(service) == b""
        eventually(lambda: ground.traffic()["open_connections"] == 0, "nothing is left of the connection")

    def test_a_blackhole_hides_that_the_service_is_down(self, api: Api) -> None:
        ground = Ground(api, f"streams{next(numbers)}", f"127.0.0.1:{free_port()}")
        try:
            ground.add("blackhole", "downstream")
            with ground.connect() as client:
                assert not says_something(client, GIVE_UP_SECONDS)
        finally:
            ground.close()

    def test_deleting_a_proxy_leaves_no_connection(self, ground: Ground, listener: socket.socket) -> None:
        ground.add("blackhole", "upstream")
        with ground.connect() as client, accept(listener) as service:
            ground.api.do("DELETE", f"/proxies/{ground.name}")
            assert client.recv(1) == b""
            assert service.recv(1) == b""


class TestDialling:
    @pytest.fixture
    def busy(self) -> Iterator[socket.socket]:
        """A service whose backlog is full: dialling it neither succeeds nor fails."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            listener.settimeout(LIMIT_SECONDS)
            with contextlib.ExitStack() as filling:
                for _ in range(4):
                    filler = filling.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(listener.getsockname())
                yield listener

    def test_a_dial_that_hangs_holds_up_nothing(self, api: Api, busy: socket.socket) -> None:
        ground = Ground(api, f"streams{next(numbers)}", address_of(busy))
        try:
            with ground.connect() as client:
                client.sendall(b"early")
                eventually(lambda: ground.traffic()["buffered_bytes"] == 5, "what came early is kept")
                ground.add("latency", "upstream", latency=1)
                ground.disable()
                assert client.recv(1) == b""
                ground.enable()
        finally:
            ground.close()

    @pytest.mark.slow
    def test_what_came_before_the_dial_was_done_passes_through_the_toxics(self, api: Api, busy: socket.socket) -> None:
        ground = Ground(api, f"streams{next(numbers)}", address_of(busy))
        try:
            with ground.connect() as client:
                client.sendall(b"early")
                eventually(lambda: ground.traffic()["buffered_bytes"] == 5, "what came early is kept")
                ground.add("limit_data", "upstream", bytes=3)
                busy.setblocking(False)

                def early() -> bytes:
                    # The kernel tries to connect again after a second, then after two more.
                    with contextlib.suppress(BlockingIOError), accept(busy) as service:
                        service.settimeout(GIVE_UP_SECONDS)
                        with contextlib.suppress(TimeoutError):
                            return receive(service, 5)
                    return b""

                assert eventually(early, "the dial succeeds once there is room") == b"ear"
        finally:
            ground.close()


class TestLimits:
    """Inside one event loop, where single ticks can be told apart."""

    def test_connections_beyond_the_limit_are_closed_at_once(
        self, monkeypatch: pytest.MonkeyPatch, listener: socket.socket
    ) -> None:
        monkeypatch.setattr("faults.proxy.proxy.MAX_CONNECTIONS", 1)

        async def scenario() -> None:
            proxy = Proxy("limited", "127.0.0.1:0", address_of(listener), seed=1)
            await proxy.enable()
            host, port = split_address(proxy.describe()["listen"])
            first, kept = await asyncio.open_connection(host, port)
            second, declined = await asyncio.open_connection(host, port)
            async with asyncio.timeout(LIMIT_SECONDS):
                assert await second.read() == b""
                assert proxy.traffic()["open_connections"] == 1
                proxy.disable()
                assert await first.read() == b""
                for writer in (kept, declined):
                    writer.close()
                    await writer.wait_closed()

        asyncio.run(scenario())

    def test_a_connection_that_is_cut_in_the_tick_of_its_accept_is_forgotten(self) -> None:
        closed: list[Connection] = []

        def accept_and_cut(client: asyncio.Transport) -> Connection:
            counters: dict[StreamName, Counters] = {"upstream": Counters(), "downstream": Counters()}
            connection = Connection(client, "127.0.0.1:9", counters, "seed", [], closed.append)
            connection.cut()
            return connection

        async def scenario() -> None:
            ours, theirs = socket.socketpair()
            with theirs:
                await asyncio.get_running_loop().connect_accepted_socket(lambda: ClientSide(accept_and_cut), ours)
                async with asyncio.timeout(LIMIT_SECONDS):
                    while not closed:
                        await asyncio.sleep(0)

        asyncio.run(scenario())


class TestBackPressure:
    def test_a_service_that_does_not_read_stops_the_client(self, ground: Ground, listener: socket.socket) -> None:
        self.fill_and_drain(ground, listener)

    def test_a_toxic_that_holds_data_stops_the_client(self, ground: Ground, listener: socket.socket) -> None:
        self.fill_and_drain(ground, listener, ground.add("bandwidth", "upstream", rate=0))

    def fill_and_drain(self, ground: Ground, listener: socket.socket, toxic: str | None = None) -> None:
        with ground.connect() as client, accept(listener) as service:
            client.settimeout(GIVE_UP_SECONDS)
            block = random.Random(1).randbytes(1 << 20)
            sent = hashlib.sha256()
            count = 0
            with contextlib.suppress(TimeoutError):
                for _ in range(64):
                    size = client.send(block)
                    sent.update(block[:size])
                    count += size
            assert count < 64 << 20, "nothing ever stopped the client"
            # One reading may go beyond the limit, in the queue and in the transport's own buffer.
            assert ground.traffic()["buffered_bytes"] <= 4 * BUFFER_BYTES
            if toxic:
                ground.remove(toxic)
            assert hashlib.sha256(receive(service, count)).digest() == sent.digest()

    def test_two_reasons_not_to_read_are_told_apart(self, ground: Ground, listener: socket.socket) -> None:
        """Lifting the toxic must not start the reading while the service still doesn't read."""
        toxic = ground.add("bandwidth", "upstream", rate=0)
        with ground.connect() as client, accept(listener):
            client.settimeout(GIVE_UP_SECONDS)
            with contextlib.suppress(TimeoutError):
                for _ in range(64):
                    client.send(bytes(1 << 20))
            ground.remove(toxic)
            with contextlib.suppress(TimeoutError):
                for _ in range(64):
                    client.send(bytes(1 << 20))
            assert ground.traffic()["buffered_bytes"] <= 4 * BUFFER_BYTES


class TestIntegrity:
    @pytest.mark.slow
    def test_large_transfers_survive_a_churn_of_toxics_byte_for_byte(
        self, ground: Ground, listener: socket.socket
    ) -> None:
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        request, answer = chance.randbytes(4 << 20), chance.randbytes(4 << 20)
        with ground.connect() as client, accept(listener) as service:
            sending = [
                ground.in_background(lambda: client.sendall(request)),
                ground.in_background(lambda: service.sendall(answer)),
            ]
            receiving = [
                ground.in_background(lambda: receive(service, len(request))),
                ground.in_background(lambda: receive(client, len(answer))),
            ]
            churning = ground.in_background(lambda: self.churn(ground, chance))
            rounds = churning.result()
            for future in sending:
                future.result()
            assert receiving[0].result() == request
            assert receiving[1].result() == answer
        assert rounds > 20
        traffic = ground.traffic()
        assert traffic["upstream"] == {"passed_bytes": len(request), "dropped_bytes": 0}
        assert traffic["downstream"] == {"passed_bytes": len(answer), "dropped_bytes": 0}

    def churn(self, ground: Ground, chance: random.Random) -> int:
        """Harmless toxics come, change and go, several at a time, for a second; in the end none is left."""
        kinds = {
            "latency": lambda: {"latency": chance.randrange(20), "jitter": chance.randrange(10)},
            "bandwidth": lambda: {"rate": chance.choice([0, 500, 5000, 50_000])},
            "slicer": lambda: {"average_size": chance.randrange(500, 50_000), "size_variation": 400, "delay": 10},
            "slow_close": lambda: {"delay": 5},
            "noop": dict,
        }
        path = f"/proxies/{ground.name}/toxics"
        limit = time.monotonic() + 1.0
        rounds = 0
        while time.monotonic() < limit:
            kind = chance.choice(list(kinds))
            stream = chance.choice(["upstream", "downstream"])
            body = {"type": kind, "stream": stream, "toxicity": chance.choice([0.5, 1]), "attributes": kinds[kind]()}
            if ground.api.call("POST", path, body)[0] == 409:
                if chance.random() < 0.5:
                    ground.change("PATCH", f"{kind}_{stream}", **kinds[kind]())
                else:
                    ground.remove(f"{kind}_{stream}")
            rounds += 1
        for toxic in ground.api.do("GET", path):
            ground.remove(toxic["name"])
        return rounds

    @pytest.mark.slow
    def test_the_server_survives_a_churn_of_everything_while_clients_talk(self, api: Api) -> None:
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        upstream = CountingUpstream()
        ground = Ground(api, f"streams{next(numbers)}", upstream.address)
        over = threading.Event()

        def talk() -> set[str]:
            outcomes = set()
            while not over.is_set():
                client = ground.client(0.1)
                while not over.is_set() and (outcome := client.ask()) == "ok":
                    outcomes.add(outcome)
                outcomes.add(outcome)
                client.close()
            return outcomes

        try:
            talking = [ground.in_background(talk) for _ in range(4)]
            limit = time.monotonic() + 1.0
            while time.monotonic() < limit:
                kind = chance.choice(
                    ["latency", "bandwidth", "slicer", "slow_close", "timeout", "reset_peer", "limit_data", "blackhole"]
                )
                stream = chance.choice(["upstream", "downstream"])
                attributes = {"average_size": 10, "latency": 5, "rate": 1, "delay": 5, "timeout": chance.randrange(20)}
                body = {"type": kind, "stream": stream, "attributes": attributes}
                if ground.api.call("POST", f"/proxies/{ground.name}/toxics", body)[0] == 409:
                    ground.remove(f"{kind}_{stream}")
                if chance.random() < 0.1:
                    ground.disable()
                    ground.enable()
                if chance.random() < 0.1:
                    ground.api.do("POST", "/reset")
            over.set()
            outcomes = set().union(*(future.result() for future in talking))
            assert "ok" in outcomes
            assert len(outcomes) > 2
            ground.api.do("POST", "/reset")
            assert ground.ask() == "ok"
            eventually(lambda: ground.traffic()["open_connections"] <= 1, "no connection is left over")
        finally:
            over.set()
            ground.close()
            upstream.close()


class TestChance:
    def outcomes(self, seed: int) -> list[str]:
        upstream = CountingUpstream()
        with ProxyProcess(seed=seed) as process:
            ground = Ground(process.api, "chance", upstream.address)
            try:
                ground.add("reset_peer", "upstream", toxicity=0.5, timeout=0)
                return [ground.ask() for _ in range(20)]
            finally:
                ground.close()
                upstream.close()

    @pytest.mark.slow
    def test_coins_follow_from_the_seed(self) -> None:
        first = self.outcomes(7)
        assert set(first) == {"ok", "reset"}
        assert self.outcomes(7) == first
        assert self.outcomes(8) != first

    def test_a_coin_is_not_tossed_again_when_another_toxic_comes(self, ground: Ground, listener: socket.socket) -> None:
        ground.add("timeout", "upstream", toxicity=0.5, timeout=0)
        with contextlib.ExitStack() as stack:
            pairs = []
            for _ in range(8):
                client = stack.enter_context(ground.connect())
                pairs.append((client, stack.enter_context(accept(listener))))

            def touched(rounds: int) -> list[bool]:
                for client, _ in pairs:
                    client.sendall(b"x")
                eventually(lambda: sum(ground.traffic()["upstream"].values()) == rounds * len(pairs), "all is decided")
                return [not (says_something(service, 0) and service.recv(1)) for _, service in pairs]

            before = touched(1)
            ground.add("noop", "upstream")
            assert touched(2) == before


class TestApply:
    def apply(self, api: Api, *changes: object) -> tuple[int, object]:
        return api.call("POST", "/rashomon/apply", {"changes": changes})

    def test_it_changes_many_proxies_and_shows_them(self, ground: Ground, api: Api, listener: socket.socket) -> None:
        other = Ground(api, f"streams{next(numbers)}", address_of(listener))
        try:
            hole = {"type": "timeout", "stream": "upstream"}
            status, answer = self.apply(
                api, {"name": ground.name, "toxics": [hole]}, {"name": other.name, "enabled": False}
            )
            assert status == 200
            assert answer == {"proxies": {ground.name: ground.show(), other.name: other.show()}}
            assert ground.show()["toxics"][0]["name"] == "timeout_upstream"
            assert not other.show()["enabled"]
            assert self.apply(api, {"name": ground.name}, {"name": other.name})[0] == 200
            assert ground.show()["toxics"] == []
            assert other.show()["enabled"]
        finally:
            other.close()

    @pytest.mark.parametrize(
        ("bad", "status"),
        [
            ({"name": "nobody"}, 404),
            ({}, 404),
            ({"name": "OTHER", "toxics": [{"type": "plague"}]}, 400),
            ({"name": "OTHER", "toxics": [{"type": "noop"}, {"type": "noop"}]}, 409),
            ({"name": "OTHER", "toxics": "none"}, 400),
            ({"name": "OTHER", "enabled": 1}, 400),
            ({"name": "OTHER", "enabled": True}, 500),
        ],
    )
    def test_all_or_nothing(
        self, ground: Ground, api: Api, listener: socket.socket, bad: dict[str, object], status: int
    ) -> None:
        other = Ground(api, f"streams{next(numbers)}", address_of(listener))
        try:
            ground.add("noop")
            ground.disable()
            other.disable()
            before = ground.show(), other.show()
            if bad.get("name") == "OTHER":
                bad = {**bad, "name": other.name}
            with socket.create_server(("127.0.0.1", other.port)):
                good = {"name": ground.name, "toxics": [{"type": "timeout"}]}
                assert self.apply(api, good, bad)[0] == status
            assert (ground.show(), other.show()) == before
        finally:
            other.close()

    def test_a_toxic_that_stays_is_left_alone_and_one_that_differs_is_changed(
        self, ground: Ground, api: Api, listener: socket.socket
    ) -> None:
        hole = {"type": "timeout", "stream": "upstream"}
        slow = {"type": "latency", "stream": "downstream", "attributes": {"latency": 60_000}}
        self.apply(api, {"name": ground.name, "toxics": [hole, slow]})
        with ground.connect() as client, accept(listener) as service:
            service.sendall(b"late")
            eventually(lambda: ground.traffic()["buffered_bytes"] == 4, "the answer is inside the proxy")
            slow["attributes"] = {"latency": 1}
            self.apply(api, {"name": ground.name, "toxics": [hole, slow]})
            assert receive(client, 4) == b"late"
            self.apply(api, {"name": ground.name, "toxics": []})
            assert client.recv(1) == b""  # the black hole is gone, and its connection with it


@pytest.mark.parametrize("host", ["[::]", "", "0.0.0.0"])
def test_a_proxy_on_all_interfaces_is_known_again_by_the_address_it_was_asked_for(
    api: Api, listener: socket.socket, host: str
) -> None:
    port = free_port()
    body = {"name": f"streams{next(numbers)}", "listen": f"{host}:{port}", "upstream": address_of(listener)}
    try:
        api.do("POST", "/populate", [body])
        api.do("POST", f"/proxies/{body['name']}/toxics", {"type": "noop"})
        with (
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT_SECONDS) as client,
            accept(listener) as service,
        ):
            [shown] = api.do("POST", "/populate", [body])["proxies"]
            assert len(shown["toxics"]) == 1
            client.sendall(b"x")
            assert receive(service, 1) == b"x"
    finally:
        api.do("DELETE", f"/proxies/{body['name']}")


def test_traffic_counts_what_passes_and_what_is_lost(ground: Ground, listener: socket.socket) -> None:
    with ground.connect() as client, accept(listener) as service:
        client.sendall(b"12345")
        assert receive(service, 5) == b"12345"
        ground.add("timeout", "downstream", timeout=0)
        service.sendall(b"123")
        eventually(lambda: ground.traffic()["downstream"]["dropped_bytes"] == 3, "the loss is counted")
        assert ground.traffic() == {
            "connections": 1,
            "open_connections": 1,
            "buffered_bytes": 0,
            "upstream": {"passed_bytes": 5, "dropped_bytes": 0},
            "downstream": {"passed_bytes": 0, "dropped_bytes": 3},
        }
