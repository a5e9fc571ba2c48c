"""Shared test set-up: one torch thread and no deadlines; neither cores nor other work on them may matter."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("house", deadline=None)
settings.load_profile("house")
