"""A signal handler that raises or calls, at each step of a call where Python may run it."""

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from types import CodeType, FrameType
from typing import Any, Protocol


@cache
def _interruptible(code: CodeType) -> frozenset[int]:
    """The offsets where Python looks for signals: at the beginning, after calls, in loops."""
    found, after_call = set(), False
    for each in dis.get_instructions(code):
        if after_call or each.opname == "JUMP_BACKWARD":
            found.add(each.offset)
        after_call = each.opname.startswith("CALL") or each.opname == "RESUME"
    return frozenset(found)


def _codes_of(code: CodeType) -> Iterator[CodeType]:
    """Yield *code*, and that of its comprehensions and inner functions."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes_of(each)


class _Interrupt:
    """Within the block, each step of *codes* counts; the one at *step* is interrupted."""

    def __init__(
        self, step: int, codes: frozenset[CodeType], handler: Callable[[], object]
    ) -> None:
        self._step, self._codes, self._handler = step, codes, handler

    def _look(self, code: CodeType, offset: int) -> None:
        if offset in _interruptible(code):
            self._step -= 1
            if self._step == -1:
                self._handler()

    @property
    def was_reached(self) -> bool:
        return self._step < 0

    # From Python 3.12 on, a trace function is not told of all steps of a frame.
    if sys.version_info >= (3, 12):
        _TOOL = 4

        def __enter__(self) -> None:
            monitoring, step = sys.monitoring, sys.monitoring.events.INSTRUCTION
            monitoring.use_tool_id(self._TOOL, "interrupts")
            monitoring.register_callback(self._TOOL, step, self._look)
            for code in self._codes:
                monitoring.set_local_events(self._TOOL, code, step)

        def __exit__(self, *_: object) -> None:
            for code in self._codes:
                sys.monitoring.set_local_events(self._TOOL, code, 0)
            sys.monitoring.free_tool_id(self._TOOL)

    else:

        def __enter__(self) -> None:
            self._before = sys.gettrace()
            sys.settrace(self._trace)

        def __exit__(self, *_: object) -> None:
            sys.settrace(self._before)

        def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
            if frame.f_code not in self._codes:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return self._trace_step

        def _trace_step(self, frame: FrameType, event: str, argument: Any) -> Any:
            if event == "opcode":
                self._look(frame.f_code, frame.f_lasti)
            return self._trace_step


def interrupt(*_: object) -> None:
    """Do what the handler of SIGINT does."""
    raise KeyboardInterrupt


class Interrupted(Protocol):
    """Make *call*, in which *handler* runs at one step; return whether it has run."""

    def __call__(
        self, call: Callable[[], object], handler: Callable[[], object] = interrupt
    ) -> bool: ...


def each_interrupt(*functions: Callable[..., Any]) -> Iterator[Interrupted]:
    """Yield, for each step of *functions*, what makes a call that is interrupted there.

    The first call that was not interrupted is the last.
    """
    codes = frozenset(code for each in functions for code in _codes_of(each.__code__))
    step, over = 0, False

    def interrupted(call: Callable[[], object], handler: Callable[[], object] = interrupt) -> bool:
        nonlocal over
        interruption = _Interrupt(step, codes, handler)
        try:
            with suppress(KeyboardInterrupt), interruption:
                call()
        finally:
            over = not interruption.was_reached
        return not over

    while not over:
        yield interrupted
        step += 1
    assert step > 3, "nothing was interrupted"
