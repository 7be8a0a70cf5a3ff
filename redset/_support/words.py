"""Foreign text, from the server or a caller, made safe for a message or a line of a log."""

LONGEST_VALUE = 100
LONGEST_LINE = 300
LONGEST_MESSAGE = 1_000


def shortened(text: str, most: int = LONGEST_MESSAGE) -> str:
    """Return *text*, or its beginning and its end if it is longer than *most* characters."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end]}…({len(text) - most} characters more)…{text[-end:]}"


def shown(value: object) -> str:
    """Return the ``repr`` of *value* for a message, shortened; a repr may fail, or be megabytes."""
    try:
        return shortened(repr(value), LONGEST_VALUE)
    except Exception:  # for example of an int of more than 4,300 digits
        if isinstance(value, int):
            return f"an int of {value.bit_length()} bits"
        return f"a {type(value).__qualname__}"


def one_line(text: str) -> str:
    """Return the beginning of *text*, with everything escaped that a terminal could interpret.

    Otherwise a member that holds a line break could forge a line of a log.
    """
    beginning = shortened(text, LONGEST_LINE)
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in beginning
    )


def described(error: BaseException) -> str:
    """Return the type and the words of *error*, in one line."""
    name = type(error).__name__
    try:
        words = str(error)
    except Exception:
        return name
    return f"{name}: {one_line(words)}" if words else name


class Foreign(Exception):
    """Shown in a traceback instead of *original*, an error whose text came from another program."""

    def __init__(self, original: Exception) -> None:
        super().__init__(described(original))
        self.original = original
        self.__traceback__ = original.__traceback__
