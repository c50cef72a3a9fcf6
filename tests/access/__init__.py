"""Tests of what the access engine says in words; tests/oracle judges its verdicts."""
