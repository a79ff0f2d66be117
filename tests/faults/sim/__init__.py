"""One seed, one world: the whole product in virtual time, every delay, fault and kill drawn from a seed.

The product's own code runs (bot, workers, sweeper, handlers, money) on a real SQLite file; clock, ids, threads and
everything on the internet are replaced. The same seed gives the same run again, so a failure is replayed
with `python -m tests.faults.sim --one SEED`.
"""
