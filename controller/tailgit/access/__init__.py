"""Who may reach whom: the policy as a relation, and questions about it."""

from tailgit.access.examples import run_tests
from tailgit.access.explain import Explanation, explain
from tailgit.access.openings import Opening
from tailgit.access.relation import Relation, View

__all__ = ["Explanation", "Opening", "Relation", "View", "explain", "run_tests"]
