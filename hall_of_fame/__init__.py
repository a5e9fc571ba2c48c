"""Remembers every evaluation and shows the best; leaves judging to the Crucible, proposing to strategies."""
