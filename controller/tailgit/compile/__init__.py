"""What each node gets: from a tailnet and its relation to bundles of bytes."""

from tailgit.compile.bundle import Bundle, compiled_digest
from tailgit.compile.compiler import Compiler, compile_tailnet

__all__ = ["Bundle", "Compiler", "compile_tailnet", "compiled_digest"]
