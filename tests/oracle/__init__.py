"""Judges of the access engine and of the generated files, written apart from both.

Nothing here may import `tailgit.access` or `tailgit.compile` except the tests that
hold them against a judge: two programs that agree say something only as long as
neither copied from the other.
"""
