"""``conveyor product``, ``stock``, ``customer`` and ``delivery``: a shop, through the gateway.

| question                                              | module   |
|-------------------------------------------------------|----------|
| what is sold, at what price?                          | product  |
| how many units are there, and why?                    | stock    |
| who buys?                                             | customer |
| which customers have an e-mail address in common?     | doubles  |
| which products have SKUs that look the same?          | lookalikes |
| where are the parcels?                                | delivery |
| which customer, which products are meant?             | naming   |
| the gateway, and the options that all of them share   | options  |
| how all this looks on a terminal                      | shown    |
"""
