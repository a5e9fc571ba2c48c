"""Engines that train many blueprints: the oracle one at a time, the batched one all at once."""
