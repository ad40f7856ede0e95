"""The embedded proxy server: TCP proxies that can be made to fail, driven over Toxiproxy's HTTP API.

    python -m faults.proxy --host 127.0.0.1 --port 8474 --seed 1 --exit-with-stdin

It is always a process of its own: a busy thread beside it would show in every latency that passes through it. It needs
nothing but the standard library, so it starts in a tenth of a second, and its image is as small as Python.

How it is built, from the outside in: `server` (the process), `http_server` and `api` (what it is told), `table` and
`proxy` (what there is), `connection` and `stream` (what flows), `toxics` and `effects` (what goes wrong).

Where it differs from Toxiproxy, on purpose: a toxic's coin is tossed once for each connection, and follows from the
seed; `reset_peer` tears connections that were open before it as well; numbers that mean nothing (a negative latency, a
slice of no bytes) are refused; a proxy without a `listen` gets a loopback address; `/reset` goes on past a proxy that
can't listen; metrics are live. Added are the toxic `blackhole`, which hides even that someone hung up, and the paths
under `/rashomon`.
"""
