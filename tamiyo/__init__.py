"""Conducts: runs, configuration, tracking and the command lines; engine.py is the loop, read it first."""
