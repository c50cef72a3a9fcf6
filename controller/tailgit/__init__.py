"""Private networks as code: git, SSH and plain Linux nodes."""

__version__ = "0.1.0"
