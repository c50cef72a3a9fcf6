"""`python -m tailgit`, for checkouts and virtual environments without scripts."""

from tailgit.cli import main

main()
