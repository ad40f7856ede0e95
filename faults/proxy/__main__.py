"""`python -m faults.proxy`: run the server."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
from collections.abc import Sequence

from faults.proxy.server import serve

EXIT_BAD_INPUT = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.proxy", description="A server for Toxiproxy's HTTP API.")
    parser.add_argument("--host", default="127.0.0.1", help="where the API listens (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8474, help="0 takes any free one (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="decides jitter, toxicity and slices (default: by chance)")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    try:
        asyncio.run(serve(options.host, options.port, seed, options.exit_with_stdin))
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        print(
            f"cannot listen on {options.host}:{options.port}: {reason.lower()}; choose another with --host and --port",
            file=sys.stderr,
        )
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
