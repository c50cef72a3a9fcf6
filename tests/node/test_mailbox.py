"""deposit and fetch: a mailbox holds parcels, and its keys open nothing else."""
