"""Worlds: what an agent acts in."""
