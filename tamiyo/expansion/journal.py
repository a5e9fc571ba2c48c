"""Every call to a language model for one expansion: kept as soon as it is made, and judged; asks nobody.

Each call is a line of a file before its answer is used. A process that is killed loses none: the next one
that makes the same expansion is given the answers that were paid for, and asks only what had none yet.
"""

import fcntl
import json
import os
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from hall_of_fame.expansions import ExpansionCall
from tamiyo.expansion.records import Attempt, ExpansionError
from tamiyo.providers.budget import Budget, Spending
from tamiyo.providers.contract import (
    Answer,
    CallRecord,
    FailureKind,
    Provider,
    ProviderError,
    ProviderSettingError,
    Request,
)
from tamiyo.providers.recorded import RecordedProvider, call_data, call_from_data, digest, digest_of

#: What is said of a call that was paid for and asked by no command that came to its end.
CUT_SHORT = "asked by a command that was cut short; the one that went on asked something else"
#: What came of a call that would come of it again; other failures are worth another try.
_SETTLED: tuple[FailureKind | None, ...] = (None, "refused", "cut_off", "garbage")


class Journal:
    """The calls of one expansion, in a file that its process alone writes.

    Attributes:
        calls: those of this process and those that it was given again, as the ledger has them.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the journal at `path`, or one in memory alone.

        Raises:
            ExpansionError: another process has it open, or it cannot be written.
        """
        self._path = path
        self._file = None if path is None else _opened(path)
        self._earlier: defaultdict[str, deque[CallRecord]] = defaultdict(deque)
        self._subject, self._attempt, self._first = "plan", 1, 0
        self.calls: list[ExpansionCall] = []
        for call in self._read():
            self._earlier[digest_of(call)].append(call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)

    @property
    def earlier(self) -> list[CallRecord]:
        """Calls of killed processes that were not given again yet."""
        return [call for calls in self._earlier.values() for call in calls]

    def charge(self, budget: Budget) -> None:
        """Count what killed processes spent, as far as the budget has room for it."""
        for call in self.earlier:
            spent = Spending(
                prompt_tokens=call.prompt_tokens, completion_tokens=call.completion_tokens, usd=call.cost_usd
            )
            with suppress(ProviderError), budget.hold(spent, call.provider):
                pass

    def begin(self, subject: str, attempt: int) -> None:
        """Tell what the calls that follow are for."""
        self._subject, self._attempt, self._first = subject, attempt, len(self.calls)

    def judge(self, attempt: Attempt) -> None:
        """Tell what came of the calls since `begin`."""
        verdict: Literal["passed", "failed", "none"] = "none"
        if attempt.verdict is not None:
            verdict = "passed" if attempt.verdict.is_passed else "failed"
        failure = attempt.verdict.failure if attempt.verdict is not None else None
        detail = f"{failure.name}: {failure.detail}" if failure is not None else attempt.error
        for index in range(self._first, len(self.calls)):
            self.calls[index] = replace(self.calls[index], verdict=verdict, detail=detail)

    def record(self, call: CallRecord) -> None:
        """Keep a call, on the disk before this returns."""
        if self._file is not None:
            os.write(self._file, json.dumps(call_data(call)).encode() + b"\n")
            os.fsync(self._file)
        self._add(call)

    def again(self, request: Request) -> CallRecord | None:
        """Return the call that settled this very request before the kill, or None where none did."""
        left = self._earlier.get(digest(request), deque())
        while left:
            call = left.popleft()
            self._add(call)
            if call.error in _SETTLED:
                return call
        return None

    def keep_rest(self) -> None:
        """Add the earlier calls that were not given again: they were paid for too, whatever they were for."""
        self.begin("unknown", 1)
        for call in self.earlier:
            self._add(call, CUT_SHORT)
        self._earlier.clear()

    def finish(self) -> None:
        """Take the file away: its calls are in the ledger now."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _add(self, call: CallRecord, detail: str = "") -> None:
        self.calls.append(
            ExpansionCall(
                subject=self._subject,
                attempt=self._attempt,
                provider=call.provider,
                model=call.model,
                request=call_data(call)["request"],
                answer=call.answer,
                prompt_tokens=call.prompt_tokens,
                completion_tokens=call.completion_tokens,
                cost_usd=call.cost_usd,
                usage=call.usage,
                seconds=call.seconds,
                error="" if call.error is None else f"{call.error}: {call.detail}",
                verdict="none",
                detail=detail,
            )
        )

    def _read(self) -> Sequence[CallRecord]:
        """Return the calls of the file; cut off what a kill left of a last line."""
        if self._file is None or self._path is None:
            return []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.ftruncate(self._file, len(whole))
        try:
            return [call_from_data(json.loads(line)) for line in whole.splitlines()]
        except (ValueError, RecursionError, ProviderSettingError) as error:
            os.close(self._file)
            raise ExpansionError(
                f"{self._path} is no journal of calls ({error}); expected what `tamiyo expand` wrote; "
                "move it away to begin anew"
            ) from error


class ResumedProvider:
    """A provider that is not asked again what it answered before a kill.

    Args:
        provider: who answers what is new; it records its calls in the journal.
        journal: the calls so far.
    """

    def __init__(self, provider: Provider, journal: Journal) -> None:
        self._provider, self._journal = provider, journal

    @property
    def name(self) -> str:
        """That of the provider inside."""
        return self._provider.name

    def complete(self, request: Request) -> Answer:
        """Return the answer to `request`, the one on record where there is one.

        Raises:
            ProviderError: none came, or none that can be used; its `kind` says why.
        """
        call = self._journal.again(request)
        if call is not None:
            return RecordedProvider([call], self.name).complete(request)
        return self._provider.complete(request)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise ExpansionError(
            f"cannot write {path}: {error.strerror}; expected a folder for calls; check its permissions"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise ExpansionError(
            "another process is making the same expansion; wait for it; it will be on record then"
        ) from error
    return file
