"""Replay of an order book: a CSV of past invoices is sent through the gateway as orders, and watched to the end.

| question                                                 | module   |
|----------------------------------------------------------|----------|
| which text, which rows? (encodings, quotes, broken rows) | table    |
| is this row an order line, and if not, why?              | line     |
| which invoices, which products, which prices?            | book     |
| what has to exist before the first order?                | prepare  |
| one order per invoice, once, at a rate                   | send     |
| has every order ended, and when?                         | wait     |
| what came of it?                                         | report   |
| all of that in order                                     | run      |
| `conveyor replay FILE`                                   | command  |

The first three are pure functions of the file's bytes and never raise, whatever the bytes are.
"""
