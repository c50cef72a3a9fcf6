"""Edits of the repository's YAML that keep every byte they do not mean."""
