"""What a change may do at most, and what it may never do, before a node is touched."""
