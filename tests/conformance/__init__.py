"""The engine against verdicts of Tailscale: its corpus, and cases of our own."""
