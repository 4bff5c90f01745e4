"""Reconcile: do the three databases, the ledger and the broker tell one story?

| question                                                | module    |
|---------------------------------------------------------|-----------|
| what do the databases say of an order?                  | facts     |
| can all of that be true at once? (pure)                 | rules     |
| is a product's stock the sum of its ledger?             | stock     |
| is anything left in outboxes, dead letters, quarantine? | leftovers |
| all of that in order, moving orders looked at again     | run       |
| what can be mended without guessing, and how?           | remedies  |
| and why not the rest, and what can a person do?         | advice    |
| an order in hand in all three databases                 | hold      |
| mending, an order at a time, each repair on record      | repair    |
| what has a person decided about orphans?                | orphan    |
| `conveyor reconcile`, and what it prints                | command, printing |

Every order of all three databases is read once, side by side and sorted by id, so a million orders cost as much memory
as two thousand. Nothing is written and nothing is locked, unless `--repair` is said: then an order that deviates is.
"""
