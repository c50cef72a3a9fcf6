"""Tests of what nodes get, each file put before the tool that will read it."""
