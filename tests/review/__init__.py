"""The difference of two tailnets, against brute force and in words."""
