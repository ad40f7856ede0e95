"""Reading and writing histories: ours, and those of other tools.

| format | what |
|---|---|
| `jsonl` | `history.jsonl`, one event a line: see `harness.history` |
| `edn` | Jepsen's operation maps: one vector or list of maps, or one map a line |
| `edn-keyed` | the same where every value is `[key value]`, as `jepsen.independent` makes them; for reading only |
| `jepsen-log` | the lines that Jepsen logs, or its `history.txt`: process, type, f and value between tabs |
| `porcupine` | Porcupine's key-value logs: get, put and append, one map a line; a missing key holds "" |
| `csv` | a table with named columns, one event a row, or one operation a row with `call` and `return` |

`open_history` gives a `Source`, which reads as it goes, and knows the line it is at; `write_history` writes.
"""

from __future__ import annotations

from harness.formats.source import FORMATS, Source, events_of, open_history
from harness.formats.writing import write_history

__all__ = ["FORMATS", "Source", "events_of", "open_history", "write_history"]
