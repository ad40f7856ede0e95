"""Tests with real processes and real containers."""

from __future__ import annotations

import gc
import os
import warnings
from functools import cache

import pytest

from faults.cluster import ClusterError


@cache
def why_no_docker() -> str | None:
    """Why containers can't be tested here, or None."""
    with warnings.catch_warnings():
        # Without an engine the docker SDK leaves its socket to the garbage collector, which would warn in some test.
        warnings.simplefilter("ignore", ResourceWarning)
        reason = _look()
        gc.collect()
    return reason


def _look() -> str | None:
    try:
        from harness.cluster import compose
        from harness.cluster.docker import Engine

        with Engine() as engine:
            missing = [image for image in compose.images() if not engine.has_image(image)]
    except ClusterError as error:
        return str(error)
    return f"the image {missing[0]} is missing: run `make images`" if missing else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") is None:
        return
    reason = why_no_docker()
    if reason is None:
        return
    if os.environ.get("CI") == "true" or os.environ.get("RASHOMON_REQUIRE_DOCKER") == "1":
        pytest.fail(f"container tests are required here and can't run: {reason}", pytrace=False)
    pytest.skip(f"CONTAINERS NOT TESTED: {reason}")
