"""The operator's side: the command line, the embedded stack, replay, reconcile. Stands above everything else."""

#: Every service that has a database of its own, in the order in which more than one of them is locked.
SERVICES = ("sales", "inventory", "delivery")
