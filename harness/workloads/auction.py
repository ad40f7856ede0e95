"""The workload `auction`: people register, open auctions, bid against each other, close them, and look.

Every process is a person, in the auction house that is its key. What is refused depends on what came before: who bids
before having registered is refused, and so is a bid that isn't the highest. So replicas that carry out the same operations
in another order soon refuse different ones. How keys are chosen is told in `harness.workloads.keyed`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from node.machine import Operation

_WEIGHTS = {"register": 2.0, "open": 2.0, "bid": 5.0, "close": 1.0, "look": 2.0}


class AuctionOptions(KeyedOptions):
    operations_per_key: int = Field(default=40, ge=1, description="a process moves to its next house after so many")
    auctions: int = Field(default=4, ge=1, description="how many auctions there can be in a house")
    highest_bid: int = Field(default=1_000, ge=1, description="bids are drawn from 1 to this")


class Auction(KeyedWorkload):
    name = "auction"
    summary = "People register, open auctions, bid and close: what one may do depends on the order of all."
    letter = "h"
    machine = "auction"
    model = "auction"
    checkers = ("linearizable", "availability", "faults")
    Options = AuctionOptions
    options: AuctionOptions

    def plan(self, process: int, number: int) -> Operation:
        chance = self.chance(process, number)
        f = by_weight(chance, _WEIGHTS)
        person, auction = f"p{process}", f"a{chance.randrange(self.options.auctions)}"
        values: dict[str, Any] = {
            "register": person,
            "look": auction,
            "bid": [person, auction, chance.randint(1, self.options.highest_bid)],
        }
        return {"f": f, "key": self.key(process, number), "value": values.get(f, [person, auction])}

    def final_operation(self, key: str) -> Operation:
        return {"f": "look", "key": key, "value": "a0"}
