"""Shared test set-up: one torch thread and no deadlines; neither cores nor other work on them may matter.

Laws are tried on 200 examples each; on 10,000 with `pytest --hypothesis-profile=nightly --timeout=7200`, or
with HYPOTHESIS_PROFILE=nightly in the environment. The timeout is of a single law.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("house", deadline=None, max_examples=200)
settings.register_profile("nightly", deadline=None, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))
