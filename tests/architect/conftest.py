"""Checks the jaxtyping annotations of the tensor files with beartype; only tests pay for that."""

from jaxtyping import install_import_hook

install_import_hook(
    ["architect.policy", "architect.scoring", "architect.advantage", "architect.reinforce"],
    "beartype.beartype",
)
