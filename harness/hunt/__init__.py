"""The hunt: goes after every flaw of every protocol, and sees that the correct protocols are left in peace.

    cases = catalogue.cases(protocols=["raft"])
    hunt = Hunt(cases, Budget(runs=1000), jobs=2)
    hunt.go(interrupt, on_done, on_look)
    hunt.table().rows

How good a testbed is at finding bugs is a number here and not a hope: `rashomon hunt` makes classic mistakes, counts which
are noticed, by what and how fast, and how often a protocol that makes none is accused. It explores (`harness.explore`),
and so everything that it finds can be repeated to the byte, and shrunk.

- `grounds.yaml` says what each protocol promises to survive, and where it fails;
- `catalogue` makes the cases of it; `hunt` goes through them; `proof` looks closer at what was found;
- `table` is what it came to, and the exit code; `display` shows it;
- `cost` counts messages and message delays; `gallery` makes the page of all protocols.
"""
