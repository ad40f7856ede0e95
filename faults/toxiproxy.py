"""The network of a cluster behind a Toxiproxy server, real or embedded: one proxy for each directed link.

The real server and the Python client both have traps that would make a verdict false, so everything here keeps to rules
that avoid them:

- at most one toxic on each stream of a proxy, out of `timeout`, `bandwidth`, `latency` and `reset_peer`, always with
  toxicity 1; other combinations can crash the real server or lock its API up for ever;
- what is removed is exactly what is there and isn't wanted; nothing relies on the server's `/reset`;
- every call has a limit of time, an answer of 5xx is an error (the client ignores it), and every change is looked up
  afterwards with `GET /proxies`;
- the state that changes start from is what the server shows, not what we believe, so a call that failed half way is
  mended by the next one;
- a watchdog notices a server that died, hangs or forgot its proxies, has it restarted, puts everything back, and marks
  the run as tainted.

`toxiproxy-python` makes the calls that it knows. Many proxies are created with one `POST /populate`; and a server that
offers `/rashomon/apply`, as the embedded one does, changes all links of a partition in one tick.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import requests
import toxiproxy
import toxiproxy.api
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from faults.cluster import CLEAR, Condition, Link, Mode, NetworkError

CALL_SECONDS: Final = 5.0
"""The limit of every call to the server."""

WATCH_SECONDS: Final = 1.0
"""How often the watchdog looks."""

PROBE_SECONDS: Final = 3.0
"""How long the watchdog waits for an answer, each of the two times that it asks before it has the server restarted."""

RESTART_SECONDS: Final = 15.0
"""How long a server that was restarted may take to answer."""


class ProxyAddress(NamedTuple):
    """Where the proxy of a link listens, and where it leads: `127.0.0.1:21001`, `127.0.0.1:20001`, as the SERVER sees
    them. For a real Toxiproxy that should be reachable on all interfaces write `[::]:21001`; with `0.0.0.0` it doesn't
    recognise its own proxy again. Choose ports below the ephemeral range, or enabling a proxy may find its port taken.
    """

    listen: str
    upstream: str


class Unreachable(NetworkError):
    """The server did not answer at all, or not in time."""


class _Server:
    """HTTP calls to one server: limited in time, and never a 5xx that passes for an answer. Safe in several threads."""

    def __init__(self, host: str, port: int, call_seconds: float = CALL_SECONDS) -> None:
        self.address = f"{host}:{port}"
        self._call_seconds = call_seconds
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy set for the web must not come between us and ours

    def request(self, method: str, path: str, json: Any = None) -> requests.Response:
        """The answer, unless it is a 5xx. Raises `NetworkError`."""
        call = f"{method} {path}"
        try:
            response = self._session.request(
                method, f"http://{self.address}{path}", json=json, timeout=self._call_seconds
            )
        except requests.Timeout as error:
            text = f"the proxy server at {self.address} did not answer {call} within {self._call_seconds:g} s"
            raise Unreachable(text) from error
        except requests.RequestException as error:
            raise Unreachable(f"the proxy server at {self.address} can't be reached ({_cause(error)})") from error
        if response.status_code >= 500:
            raise NetworkError(f"the proxy server at {self.address} failed at {call}: {_said(response)}")
        return response

    def json(self, method: str, path: str, json: Any = None) -> Any:
        """The JSON of an answer that says that all went well. Raises `NetworkError`."""
        response = self.request(method, path, json)
        if not response.ok:
            raise NetworkError(f"the proxy server at {self.address} refused {method} {path}: {_said(response)}")
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise NetworkError(f"what listens at {self.address} is no Toxiproxy server: {_said(response)}") from error

    def close(self) -> None:
        self._session.close()

    @contextmanager
    def as_the_clients(self) -> Iterator[None]:
        """While this lasts, and in this thread, toxiproxy-python talks to this server."""
        token = _server.set(self)
        try:
            yield
        except (InvalidToxic, NotFound, ProxyExists) as error:
            said = error.args[0].decode(errors="replace").strip() if error.args else ""
            raise NetworkError(f"the proxy server at {self.address} refused a change: {said}") from error
        finally:
            _server.reset(token)


_server: ContextVar[_Server] = ContextVar("_server")


class _ClientTransport:
    """Takes the place of the `requests` module inside toxiproxy-python.

    That client keeps one host and port for the whole process, has no limits of time, and takes a 5xx for success. Here
    the server is the one that the present thread is working on, whatever host the client believes to call.
    """

    def get(self, url: str, params: None = None) -> requests.Response:
        return self._request("GET", url)

    def delete(self, url: str) -> requests.Response:
        return self._request("DELETE", url)

    def post(self, url: str, data: None = None, json: Any = None) -> requests.Response:
        return self._request("POST", url, json)

    def _request(self, method: str, url: str, json: Any = None) -> requests.Response:
        base = f"http://{toxiproxy.api.APIConsumer.host}:{toxiproxy.api.APIConsumer.port}"
        return _server.get().request(method, url.removeprefix(base), json)


toxiproxy.api.requests = _ClientTransport()


class _Look(NamedTuple):
    """How the server is doing: its trouble, as a sentence, or None; and whether it answers at all."""

    trouble: str | None
    answers: bool


class ToxiproxyNetwork:
    """Implements `faults.cluster.Network`; see the module. Every method may be called from several threads.

    `restart` brings a dead (or hanging) server back; it is called from the watchdog's thread or from within `apply`, and
    must not call this object. Without it a server that is gone stays gone, but one that comes back on its own is filled
    again.

    On `slow`: when it is lifted, data that were held back arrive in a burst, also on connections that the client has
    given up meanwhile. That is a delay like any other and makes no verdict false, as long as such an operation counts as
    unknown. A rate of 0 would hold data for ever and release them at healing, so the rate is never below 1,000 bytes a
    second, which is also the unit that a rate is rounded to.
    """

    def __init__(
        self,
        host: str,
        port: int,
        proxies: Mapping[Link, ProxyAddress],
        restart: Callable[[], None] | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._proxies = dict(proxies)
        self._restart = restart
        self._server = _Server(host, port)
        self._probe = _Server(host, port, PROBE_SECONDS)
        self._changing = threading.Lock()
        self._asked = dict.fromkeys(self._proxies, CLEAR)
        self._tainted: str | None = None
        self._one_tick = False
        self._closing = threading.Event()
        self._watchdog: threading.Thread | None = None

    # --- life ---------------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Create all proxies, every link clear, and start the watchdog. Raises `NetworkError`.

        Proxies of the same names that were left on the server are deleted first, with their toxics.
        """
        with self._changing:
            version = self._server.json("GET", "/version")
            self._one_tick = "apply" in version.get("extensions", ())
            self._delete_ours()
            self._populate()
            self._bring_about(self._proxies)
        self._watchdog = threading.Thread(target=self._watch, name=f"watchdog of {self._server.address}", daemon=True)
        self._watchdog.start()

    def clear(self) -> None:
        """Put every link into the condition CLEAR. Raises `NetworkError`."""
        self.apply(dict.fromkeys(self._proxies, CLEAR))

    def close(self) -> None:
        """Stop the watchdog and delete this network's proxies, and no others; a server that is gone needs no deleting.

        Raises `NetworkError` if a server that answers doesn't delete them.
        """
        self._stop_watching()
        try:
            with self._changing:
                self._delete_ours()
        except Unreachable:
            pass
        finally:
            self._hang_up()

    def detach(self) -> None:
        """Stop the watchdog and leave the proxies as they are: for a server that ends now, or a cluster that stays up."""
        self._stop_watching()
        self._hang_up()

    def _stop_watching(self) -> None:
        self._closing.set()
        if self._watchdog is not None:
            self._watchdog.join(RESTART_SECONDS + 4 * CALL_SECONDS)
            self._watchdog = None

    def _hang_up(self) -> None:
        self._server.close()
        self._probe.close()

    # --- the contract of a network ------------------------------------------------------------------------------------

    def apply(self, changes: Mapping[Link, Condition]) -> None:
        """Put links into conditions, all of them verified when this returns. Raises `NetworkError`."""
        for link in changes:
            if link not in self._proxies:
                raise NetworkError(f"there is no proxy for the link {link}")
        with self._changing:
            self._asked.update(changes)
            try:
                self._bring_about(changes)
            except Unreachable as error:
                self._revive(self._look(), str(error))

    def conditions(self) -> dict[Link, Condition]:
        """The condition of every link, as asked for last."""
        with self._changing:
            return dict(self._asked)

    def traffic(self) -> dict[Link, dict[str, int]]:
        """Live counters of every link; empty if the server keeps none, or can't be asked."""
        if not self._one_tick:
            return {}
        try:
            counters = self._server.json("GET", "/rashomon/traffic")["proxies"]
        except NetworkError:
            return {}
        return {link: _link_traffic(counters[_name(link)]) for link in self._proxies if _name(link) in counters}

    @property
    def tainted(self) -> str | None:
        """Why this run can't be trusted any more, or None."""
        return self._tainted

    # --- changes ------------------------------------------------------------------------------------------------------

    def _bring_about(self, links: Iterable[Link]) -> None:
        """Make the server's proxies of these links what was asked for, and look whether they are."""
        wanted = {_name(link): _state(self._asked[link]) for link in links}
        if self._one_tick:
            changes = [
                {"name": name, "enabled": state.enabled, "toxics": [toxic._asdict() for toxic in state.toxics]}
                for name, state in wanted.items()
            ]
            self._server.json("POST", "/rashomon/apply", {"changes": changes})
        else:
            self._change_one_by_one(wanted)
        self._verify(wanted)

    def _change_one_by_one(self, wanted: Mapping[str, _State]) -> None:
        shown = self._shown()
        failures = []
        for name, state in wanted.items():
            if name not in shown:
                raise Unreachable(f"the proxy server at {self._server.address} has lost the proxy {name}")
            try:
                with self._server.as_the_clients():
                    _change(shown[name], state)
            except Unreachable:
                raise
            except NetworkError as error:  # the other links get what they were promised all the same
                failures.append(error)
        if failures:
            raise failures[0]

    def _verify(self, wanted: Mapping[str, _State]) -> None:
        shown = self._shown()
        for name, state in wanted.items():
            if name not in shown:
                raise Unreachable(f"the proxy server at {self._server.address} has lost the proxy {name}")
            if _shown_state(shown[name]) != state:
                text = f"the proxy server at {self._server.address} did not do as it was told with {name}"
                raise NetworkError(f"{text}: wanted {state}, got {_shown_state(shown[name])}")

    def _shown(self, server: _Server | None = None) -> dict[str, dict[str, Any]]:
        """What the server says of this network's proxies."""
        shown = (server or self._server).json("GET", "/proxies")
        return {_name(link): shown[_name(link)] for link in self._proxies if _name(link) in shown}

    def _populate(self) -> None:
        bodies = [
            {"name": _name(link), "listen": address.listen, "upstream": address.upstream, "enabled": True}
            for link, address in self._proxies.items()
        ]
        self._server.json("POST", "/populate", bodies)

    def _delete_ours(self) -> None:
        for shown in self._shown().values():
            with self._server.as_the_clients():
                toxiproxy.Proxy(**shown).destroy()
        if left := self._shown():
            raise NetworkError(f"the proxy server at {self._server.address} did not delete {', '.join(left)}")

    # --- the watchdog -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_SECONDS):
            if self._look().trouble is None:
                continue
            with self._changing:
                look = self._look()  # not a passing trouble, nor one that `apply` has mended meanwhile
                if look.trouble is None or self._closing.is_set():
                    continue
                try:
                    self._revive(look, look.trouble)
                except NetworkError as error:
                    self._tainted = f"{error}; nothing can be said of the links since then"

    def _look(self) -> _Look:
        """See how the server is doing.

        Asks for the proxies and not for the version, which a server answers even when its table is locked up.
        """
        try:
            lost = len(self._proxies) - len(self._shown(self._probe))
        except NetworkError as error:
            return _Look(str(error), answers=False)
        trouble = f"the proxy server at {self._server.address} has lost {lost} proxies" if lost else None
        return _Look(trouble, answers=True)

    def _revive(self, look: _Look, reason: str) -> None:
        """After a call that went wrong for `reason`: have a server that answers, with all proxies in all conditions."""
        if look.trouble is not None:
            self._tainted = f"{reason}; all links were made anew, and were not as asked for meanwhile"
            if not look.answers:
                if self._restart is None:
                    raise Unreachable(f"{look.trouble}, and nothing here can restart it")
                self._call_restart(self._restart)
            self._populate()
        self._bring_about(self._proxies)

    def _call_restart(self, restart: Callable[[], None]) -> None:
        try:
            restart()
        except Exception as error:
            raise NetworkError(f"the proxy server at {self._server.address} can't be restarted: {error}") from error
        wait_for_server(self._host, self._port, RESTART_SECONDS)


def wait_for_server(host: str, port: int, timeout_seconds: float) -> str:
    """Wait until a Toxiproxy server answers there; returns its version. Raises `NetworkError`."""
    server = _Server(host, port, call_seconds=1.0)
    limit = time.monotonic() + timeout_seconds
    try:
        while True:
            try:
                return str(server.json("GET", "/version")["version"])
            except Unreachable as error:
                if time.monotonic() > limit:
                    raise NetworkError(f"{error}; gave up after {timeout_seconds:g} s") from error
            time.sleep(0.01)
    finally:
        server.close()


# --- conditions as toxics ---------------------------------------------------------------------------------------------


class _Toxic(NamedTuple):
    type: str
    stream: str
    attributes: dict[str, int]

    @property
    def name(self) -> str:
        """The name that every server gives it."""
        return f"{self.type}_{self.stream}"


class _State(NamedTuple):
    """A proxy as it should be, or as the server shows it; toxics are sorted by stream."""

    enabled: bool
    toxics: tuple[_Toxic, ...]


_STREAMS = {"requests": ("upstream",), "responses": ("downstream",), "both": ("downstream", "upstream")}


def _name(link: Link) -> str:
    """A proxy's name, which needs no quoting in URLs and shells."""
    return f"{link.source}-to-{link.target}"


def _state(condition: Condition) -> _State:
    if condition.mode is Mode.REFUSE:
        return _State(enabled=False, toxics=())
    toxics: tuple[_Toxic, ...] = ()
    streams = _STREAMS[condition.streams]
    if condition.mode is Mode.DROP:
        toxics = tuple(_Toxic("timeout", stream, {"timeout": 0}) for stream in streams)
    elif condition.mode is Mode.LATENCY:
        attributes = {"latency": condition.latency_ms, "jitter": condition.jitter_ms}
        toxics = tuple(_Toxic("latency", stream, attributes) for stream in streams)
    elif condition.mode is Mode.SLOW:
        rate = max(1, round(condition.rate_bytes_per_second / 1000))
        toxics = tuple(_Toxic("bandwidth", stream, {"rate": rate}) for stream in streams)
    elif condition.mode is Mode.RESET:
        toxics = tuple(_Toxic("reset_peer", stream, {"timeout": 0}) for stream in _STREAMS["both"])
    return _State(enabled=True, toxics=toxics)


def _shown_state(shown: Mapping[str, Any]) -> _State:
    toxics = [_Toxic(toxic["type"], toxic["stream"], toxic["attributes"]) for toxic in shown["toxics"]]
    return _State(shown["enabled"], tuple(sorted(toxics, key=lambda toxic: toxic.stream)))


def _change(shown: Mapping[str, Any], wanted: _State) -> None:
    """Turn one proxy from what the server shows into what is wanted, with single calls of toxiproxy-python."""
    proxy = toxiproxy.Proxy(**shown)
    present = _shown_state(shown)
    # A link that is to be refused is closed before its toxics go, and one that is opened has them before: nothing may
    # slip through in between.
    if present.enabled and not wanted.enabled:
        proxy.disable()
    for toxic in shown["toxics"]:
        if _Toxic(toxic["type"], toxic["stream"], toxic["attributes"]) not in wanted.toxics:
            proxy.destroy_toxic(toxic["name"])
    for wanted_toxic in wanted.toxics:
        if wanted_toxic not in present.toxics:
            proxy.add_toxic(name=wanted_toxic.name, toxicity=1.0, **wanted_toxic._asdict())
    if wanted.enabled and not present.enabled:
        proxy.enable()


def _link_traffic(counters: Mapping[str, Any]) -> dict[str, int]:
    streams = (counters["upstream"], counters["downstream"])
    return {
        "passed_bytes": sum(stream["passed_bytes"] for stream in streams),
        "dropped_bytes": sum(stream["dropped_bytes"] for stream in streams),
        "connections": counters["connections"],
    }


def _said(response: requests.Response) -> str:
    """What an error answer says, on one line."""
    try:
        text = str(response.json()["error"])
    except (requests.JSONDecodeError, KeyError, TypeError):
        text = response.text
    return f"{response.status_code} {' '.join(text.split())[:200]}".strip()


def _cause(error: BaseException) -> str:
    """The operating system's word for it, such as `connection refused`, instead of a tower of exceptions."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__
