"""Curricula examine: micro-tasks and their ordering; import nothing of the other floors."""
