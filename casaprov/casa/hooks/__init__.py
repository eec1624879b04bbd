"""Wrappers around tasks and tools."""
