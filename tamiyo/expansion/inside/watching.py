"""What a candidate must leave as it found it: torch's own functions and classes, and its global settings."""

import torch
from torch import nn

#: What torch looked like: names of things to what they were.
Likeness = dict[str, object]


def likeness() -> Likeness:
    """Return the functions, classes and settings of torch that a model could have replaced."""
    seen: Likeness = {
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.get_default_device()": torch.get_default_device(),
    }
    for module in (torch, nn, nn.functional, nn.init):
        seen |= {f"{module.__name__}.{name}": value for name, value in vars(module).items()}
    classes = [torch.Tensor, nn.Parameter, *(value for value in vars(nn).values() if isinstance(value, type))]
    for owner in classes:
        seen |= {f"{owner.__qualname__}.{name}": value for name, value in vars(owner).items()}
    return seen


def difference(before: Likeness) -> str:
    """Return the first thing of torch that is not as it was in `before`; nothing when all is."""
    now = likeness()
    for name, value in before.items():
        if name not in now:
            return f"{name} is gone"
        if now[name] is not value and name.endswith("()") and now[name] != value:
            return f"{name} was {value}, is {now[name]}"
        if now[name] is not value and not name.endswith("()"):
            return f"{name} is no longer torch's own"
    new = next((name for name in now if name not in before and "()" not in name), "")
    return f"{new} is new" if new and not new.startswith("torch.") else ""
