"""Chains: crashes of all kinds, each during the recovery from the one before, then one recovery that is left in peace.

In it: how a chain is drawn from a seed, and run. Not in it: single points (`crash_points`).
Rules: the seed is all it takes to see a chain again; a kill loses nothing of the page cache, so what was not synced
before it may still be lost by a power loss later in the chain, or by the one after its end, which must take nothing.
"""

from __future__ import annotations

from random import Random

from tests.crash_case import Case, blamed
from tests.faults import DEATHS, REFUSALS, Device, Fault, FaultyDisk

LONGEST = 6
KINDS = (*DEATHS, *REFUSALS)
#: Recoveries write little once much is done, so half the faults come early.
EARLY_OPERATIONS = 40


def chain_of(seed: int, operations: int) -> list[Fault]:
    """One to six faults: anywhere in the first run, early or anywhere in the recoveries."""
    chance = Random(seed)
    faults = []
    for place in range(chance.randint(1, LONGEST)):
        early = place > 0 and chance.random() < 0.5
        at = chance.randrange(min(EARLY_OPERATIONS, operations) if early else operations)
        faults.append(
            Fault(at, chance.choice(KINDS), chance.choice((0, 1, chance.randrange(4096))), chance.randrange(1 << 30))
        )
    return faults


def run_chain(case: Case, seed: int) -> int:
    """Runs the chain of the seed; answers how many of its faults struck. Raises AssertionError for a loss."""
    faults = chain_of(seed, case.operations)
    struck, device = 0, Device()
    with blamed([f"chain {seed}", *faults]):
        case.clear()
        for number, fault in enumerate(faults):
            struck += case.strike(fault, device, resume=number > 0)
        case.recover(FaultyDisk(device=device))
        device.lose_power()
        case.check()
    return struck
