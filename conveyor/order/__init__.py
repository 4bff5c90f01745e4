"""``conveyor order``: what a customer's clerk does, at the gateway like everybody else; and what only operators do.

| question                                          | module   |
|---------------------------------------------------|----------|
| place, show, watch, cancel, list                  | command  |
| an order's events as they come                    | follow   |
| an order that hangs goes on, or is given up       | resume, compensate |
| how an order looks on a terminal                  | shown    |
"""
