"""Plans and findings -> text, JSON: renders values and computes nothing."""
