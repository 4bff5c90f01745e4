"""The operator's side: the command line, the embedded stack, replay, reconcile. Stands above everything else."""
