"""Beginning from what is there: policies of Tailscale and Headscale, wg-quick files.

Nothing is dropped in silence: what has no place in our files becomes a `Note`.
"""
