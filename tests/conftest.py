"""Shared test set-up: one torch thread, so that tests neither fight for cores nor vary with their number."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
