"""Names of devices: hosts lines and RFC 1035 zones."""

from tailgit.names.zones import host_lines, zone_head, zone_lines

__all__ = ["host_lines", "zone_head", "zone_lines"]
