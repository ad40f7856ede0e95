"""Exploring: thousands of simulated runs, each drawn from its seed, each judged at once; what is found is saved as a run.

    cells = load_campaign(path, Overrides(cluster="simulated"))
    exploration = Exploration(cells, Budget(runs=1_000), jobs=4)
    exploration.go(interrupt, on_found, on_look)
    exploration.cells[0].found        # the first finding of each kind, with its seed

The parts: `swarm` (what a run is made of), `variants` (the values it draws from), `trial` (one run, judged), `workers` (all
cores), `explore` (who does what, until when), `coverage` (what the runs have been through), `keep` (saving a finding),
`display` and `summary` (telling), `command` and `cli` (`rashomon explore`).
"""
