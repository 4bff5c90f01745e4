"""Chaos: orders go through a stack of its own while everything in it is killed, and nothing is lost or doubled.

| question                                               | module    |
|--------------------------------------------------------|-----------|
| what is done to whom, and when? (a function of a seed) | schedule  |
| the stack it is done to                                | victim    |
| how is each of these things done?                      | torment   |
| messages a second time, and late                       | tap       |
| which order, cancelled when, moved how? (of the seed)  | plans     |
| who does them at their time?                           | errands   |
| what do customers and couriers do, and what are they told? | shop  |
| is everything well again, and has all of it ended?     | drain     |
| was every promise kept?                                | promises  |
| what do the databases say about that, about one order? | evidence  |
| what is the verdict?                                   | verdict   |
| all of that in order                                   | run       |
| `conveyor chaos`                                       | command   |

``schedule``, ``plans`` and ``promises`` are pure: a seed or facts in, a list out.
"""
