"""`python -m node`: one replica in a process of its own. `docs/http.md` tells its arguments and exit codes."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from node.protocol import replica_number

EXIT_BAD_INPUT = 3
EXIT_CORRUPT = 4
TOKEN_VARIABLE = "RASHOMON_TOKEN"
PUBLIC_THREADS = 256
CONTROL_THREADS = 32

log = logging.getLogger("node")


class BadInput(Exception):
    """The process can't run as it was called; the message is one sentence."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    _log_to_stderr(options.id)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_stdin:
        threading.Thread(target=_exit_with_stdin, name="stdin", daemon=True).start()
    return _run(options, stop)


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    # Imported late, so that a signal or the end of stdin is heeded from the first moment on.
    from node.app import control_app, public_app
    from node.journal import JournalCorrupt
    from node.replica import BadProvision, ProvisionCorrupt, Replica
    from node.server import CannotListen, Server, listen

    try:
        token = _token()
        folder = _own_folder(options.data)
        public_listener = listen(options.host, options.port)
        control_listener = listen(options.host, options.control_port)
        replica = Replica(options.id, folder)
        replica.come_back()
    except (BadInput, CannotListen, BadProvision) as error:
        log.error("%s", error)
        return EXIT_BAD_INPUT
    except (JournalCorrupt, ProvisionCorrupt) as error:
        log.error("%s", error)
        return EXIT_CORRUPT
    except OSError as error:
        log.error("cannot use the folder %s: %s", options.data, error)
        return EXIT_BAD_INPUT
    servers = [
        Server(public_app(replica), public_listener, PUBLIC_THREADS, "public"),
        Server(control_app(replica, token, stop.set), control_listener, CONTROL_THREADS, "control"),
    ]
    log.info("listens on %s:%d, control port %d", options.host, options.port, options.control_port)
    stop.wait()
    log.info("stops")
    replica.stop()
    for server in servers:
        server.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m node", description="Run one replica.")
    parser.add_argument("--id", required=True, type=_replica_name, help="the replica's name, such as n1")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", required=True, type=int, help="for clients and peers")
    parser.add_argument("--control-port", required=True, type=int, help="for the harness")
    parser.add_argument("--data", required=True, type=Path, help="the folder of its journal; made if need be")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end at once when stdin does: its owner is gone")
    return parser


def _replica_name(text: str) -> str:
    try:
        if text == f"n{replica_number(text)}":
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not the name of a replica: one looks like n1")


def _token() -> str:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise BadInput(f"{TOKEN_VARIABLE} is not set: it holds the token that the control port asks for")
    return token


def _own_folder(folder: Path) -> Path:
    """The folder, made if need be, held by this process alone for as long as it lives."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BadInput(f"the folder {folder} belongs to a replica that is running: choose another one") from error
    except OSError as error:
        raise BadInput(f"cannot write the folder {folder}: {error.strerror}") from error
    return folder


def _exit_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _log_to_stderr(id: str) -> None:
    formatter = logging.Formatter(f"%(asctime)s.%(msecs)03dZ {id} %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


if __name__ == "__main__":
    sys.exit(main())
