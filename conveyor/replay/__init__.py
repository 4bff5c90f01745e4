"""Replay of an order book: a file of past invoices is sent through the gateway as orders, and watched to the end.

| question                                                     | module              |
|--------------------------------------------------------------|---------------------|
| which export is it, what are its columns called?             | formats             |
| what do all rows together say about how each one is meant?   | survey              |
| is this row an order line, and if not, why?                  | line, uci           |
| which order is it of?                                        | reading, json_lines |
| which orders are orders, which stand there twice?            | store, settle       |
| what was decided, in words?                                  | decided             |
| all of that: invoices, products, prices, what is not sent    | book                |
| the list of what is not sent                                 | rejects, rejected, cells |
| what has to exist before the first order?                    | prepare             |
| one order per invoice, once, at a rate                       | send                |
| has every order ended, and when?                             | wait                |
| what came of it?                                             | report              |
| all of that in order                                         | run                 |
| `conveyor replay FILE`                                       | command             |

What a table is, ``conveyor.tables`` knows. A book is read twice and is never in memory as a whole.
"""
