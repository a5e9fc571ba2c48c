"""Engines' kernels of our own for CUDA devices: the persistent interpreter; leaves the rest to torch."""
