"""What every emitted block defines, for type checkers; the block itself is written by the emitter."""

from torch import nn

class Block(nn.Module):
    def __init__(self, width: int = 16) -> None: ...
