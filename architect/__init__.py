"""Proposes: the policy, its pretraining, REINFORCE and rival strategies over any TokenSpace."""
