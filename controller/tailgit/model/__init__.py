"""What a tailnet is, as frozen values; imports nothing but the standard library."""
