"""The only part of tailgit that writes to nodes: observe, sign, stage, confirm."""
