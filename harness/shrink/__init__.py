"""Shrinking: from a simulated run that shows a finding to the smallest one that still shows a finding of the same kind.

The run is written down as a script first (`script`): every operation, every injection, and every message that did not
arrive on time, one by one. Then parts of the script are left out (`shrink`), and what is left is simulated again, for as
long as that still ends in a finding of the same kind (`seeker`). Where too much remains for a story, other small runs of
the same are looked at (`alike`), and what is left is moved about a little (`shaken`). What remains is told step by step in
words (`story`).
"""

from __future__ import annotations
