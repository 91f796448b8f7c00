"""The reference driver: collections in this process's memory."""

from polystore.drivers.memory.driver import MemoryDriver, open_memory

__all__ = ["MemoryDriver", "open_memory"]
