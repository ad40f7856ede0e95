"""The simulated cluster: protocols on a virtual clock and a virtual network, in one thread, exactly repeatable.

    from harness.simulation.simulate import simulate

    simulated = simulate(spec)            # a RunSpec, as of any other run; nothing but the spec decides what happens
    simulated.events                      # the history, as in history.jsonl
    simulated.broken                      # the laws that were broken, seen from within

The parts, from the ground up: `loop` (virtual time), `chance` (named sources of chance), `copies` (what crosses a border),
`clock`, `disk`, `network`, `host` (one replica), `trace` (every step, if asked for), `clients`, `moments`, `nemesis`,
and `simulate`.
What a campaign sees of it is `harness.cluster.simulated`.
"""
