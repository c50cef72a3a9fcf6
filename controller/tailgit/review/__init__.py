"""What a change means: two tailnets compared by what they let happen, not by text."""
