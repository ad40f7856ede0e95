"""The replica under test. It knows nothing of `faults` and `harness`.

`protocol` and `machine` are the two contracts; everything else here hosts them.
"""
