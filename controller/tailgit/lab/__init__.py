"""A whole tailnet as network namespaces on this machine: bench, demo and feature."""

from tailgit.lab.contact import running
from tailgit.lab.lab import Lab
from tailgit.lab.topology import CONTROLLER, Machine, Topology, topology_of

__all__ = ["CONTROLLER", "Lab", "Machine", "Topology", "running", "topology_of"]
