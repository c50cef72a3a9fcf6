"""The pieces of push.py: the ground that is pushed to, the peers, one measurement."""
