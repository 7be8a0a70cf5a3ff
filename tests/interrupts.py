"""An exception out of a signal handler, at each step of a call where Python may run the handler."""

import dis
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FrameType
from typing import Any


@cache
def _interruptible(code: CodeType) -> frozenset[int]:
    """The offsets where Python looks for signals: at the beginning, after calls, in loops."""
    found, after_call = set(), False
    for each in dis.get_instructions(code):
        if after_call or each.opname == "JUMP_BACKWARD":
            found.add(each.offset)
        after_call = each.opname.startswith("CALL") or each.opname == "RESUME"
    return frozenset(found)


class _Interrupt:
    def __init__(self, step: int, functions: frozenset[str]) -> None:
        self.step, self.functions = step, functions

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        # A comprehension may have a frame of its own.
        function = frame.f_code.co_qualname.partition(".<locals>")[0]
        if f"{frame.f_globals.get('__name__')}.{function}" not in self.functions:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.look

    def look(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode" and frame.f_lasti in _interruptible(frame.f_code):
            self.step -= 1
            if self.step < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.look


def each_interrupt(*functions: Callable[..., Any]) -> Iterator[Callable[[Callable[[], Any]], bool]]:
    """Yield, for each step of *functions*, what makes a call that is interrupted there.

    It returns whether the call was interrupted; the first one that was not is the last.
    """
    names = frozenset(f"{each.__module__}.{each.__qualname__}" for each in functions)
    over = False

    def interrupted(call: Callable[[], Any], step: int) -> bool:
        nonlocal over
        before = sys.gettrace()
        sys.settrace(_Interrupt(step, names).trace)
        try:
            call()
        except KeyboardInterrupt:
            return True
        except BaseException:
            over = True
            raise
        finally:
            sys.settrace(before)
        over = True
        return False

    step = 0
    while not over:
        yield lambda call, step=step: interrupted(call, step)  # type: ignore[misc]
        step += 1
    assert step > 3, "nothing was interrupted"
