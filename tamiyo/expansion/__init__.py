"""From winner to working architecture: a plan, units around the block, checks, proof and provenance."""
