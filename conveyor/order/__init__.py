"""``conveyor order``: what a customer's clerk does, at the gateway like everybody else.

| question                                          | module   |
|---------------------------------------------------|----------|
| place, show, watch, cancel, list                  | command  |
| which customer, which products are meant?         | naming   |
| an order's events as they come                    | follow   |
| how an order looks on a terminal                  | shown    |
"""
