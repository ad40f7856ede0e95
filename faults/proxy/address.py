"""Addresses as Toxiproxy writes them: `127.0.0.1:8474`, `[::]:8474`, `:8474`, `localhost:8474`."""

from __future__ import annotations


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets; empty for all interfaces) and port. Raises `ValueError` with a sentence."""
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError(f"address {address}: missing port in address")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"address {address}: invalid port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
