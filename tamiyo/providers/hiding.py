"""Secrets and control characters taken out of what others said, before it is kept or shown."""

import logging
import re

#: What stands where a secret stood.
HIDDEN = "[secret]"
#: Characters of the shortest key that is a secret: a shorter one stands for none, and is in common texts too.
SHORTEST_SECRET = 12
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def secrets_of(key: str | None) -> tuple[str, ...]:
    """Return what is to be hidden of a key: all, or nothing of one such as `none`, which keeps nobody out."""
    return (key,) if key is not None and len(key) >= SHORTEST_SECRET else ()


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """Return `text` without any of `secrets`; one in another writing, as base64, is not known again."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def one_line(text: str, secrets: tuple[str, ...] = (), most: int = 300) -> str:
    """Return a foreign text as one line of at most `most` printable characters, without `secrets`."""
    line = " ".join(_CONTROL.sub(" ", hide(text, secrets)).split())
    return line if len(line) <= most else line[: most - 1] + "…"


class _HidingFilter(logging.Filter):
    """Takes secrets out of what is logged, in whatever way they came there."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: tuple[str, ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without secrets and without its exception, whose texts are unchecked."""
        record.msg, record.args = hide(record.getMessage(), self.secrets), ()
        record.exc_info = record.exc_text = None
        return True


_filter = _HidingFilter()


def keep_out_of_logs(secrets: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Take `secrets` out of what the loggers of `packages` say from now on, in this whole process."""
    _filter.secrets = tuple(sorted({*_filter.secrets, *secrets}))
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in packages:
            logging.getLogger(name).addFilter(_filter)
