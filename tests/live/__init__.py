"""Whole tailnets in the lab: real sshd, real WireGuard, real nftables, real packets."""
