"""Numbers as text: the same on the terminal, on pages and in tables. What is unknown is empty."""

from __future__ import annotations

from datetime import timedelta

_AGES = 1e10  # seconds, beyond which a time is damaged and no time
_TIME_UNITS = ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s"))


def number(value: float | None, spec: str = ".4g") -> str:
    """``value`` by a format specification.

    >>> number(1234567, ","), number(0.123456), number(None)
    ('1,234,567', '0.1235', '')
    """
    return "" if value is None else format(value, spec)


def value_text(value: object) -> str:
    """Any value in a table, floats with four digits.

    >>> value_text(0.0123456), value_text("adam"), value_text(None)
    ('0.01235', 'adam', '')
    """
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "trial"), plural(2000, "trial"), plural(3, "class")
    ('1 trial', '2,000 trials', '3 classes')
    """
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def percent(share: float | None, digits: int = 2) -> str:
    """A share of 1 in percent.

    >>> percent(0.87512), percent(0.87512, 1), percent(None)
    ('87.51 %', '87.5 %', '')
    """
    return "" if share is None else f"{100 * share:.{digits}f} %"


def score(value: float | None, *, is_error: bool = False, digits: int = 2) -> str:
    """An accuracy in percent, or an error as it is.

    >>> score(0.5), score(0.0123, is_error=True)
    ('50.00 %', '0.0123')
    """
    return number(value) if is_error else percent(value, digits)


def margin(ci95: float | None, *, is_error: bool = False, digits: int = 2) -> str:
    """Half the width of a confidence interval, in the unit of the score but without its sign.

    >>> margin(0.0123), margin(0.0123, is_error=True), margin(None)
    ('± 1.23', '± 0.012', '')
    """
    if ci95 is None:
        return ""
    return f"± {ci95:.2g}" if is_error else f"± {100 * ci95:.{digits}f}"


def score_with_margin(
    value: float | None, ci95: float | None, *, is_error: bool = False, digits: int = 2
) -> str:
    """Both of the above.

    >>> score_with_margin(0.5, 0.02), score_with_margin(None, None)
    ('50.00 % ± 2.00', '')
    """
    if value is None:
        return ""
    texts = (
        score(value, is_error=is_error, digits=digits),
        margin(ci95, is_error=is_error, digits=digits),
    )
    return " ".join(texts).strip()


def span(first: int, last: int) -> str:
    """``5 to 9``, or ``5`` alone."""
    return str(first) if first == last else f"{first} to {last}"


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds.

    >>> clock(61.4), clock(90000)
    ('0:01:01', '1 day, 1:00:00')
    """
    if seconds is None:
        return ""
    return str(timedelta(seconds=round(seconds))) if seconds < _AGES else f"{seconds:.3g} s"


def duration(seconds: float | None) -> str:
    """Seconds while these are few.

    >>> duration(3.14), duration(300)
    ('3.1 s', '0:05:00')
    """
    return clock(seconds) if seconds is None or seconds >= 120 else f"{seconds:.1f} s"


def short_time(seconds: float) -> str:
    """Three digits, in the unit that suits.

    >>> short_time(2.5e-5), short_time(0.0123), short_time(4.0), short_time(0.0009996)
    ('25 µs', '12.3 ms', '4 s', '1 ms')
    """
    shown = float(f"{seconds:.3g}")
    factor, unit = next((f, u) for limit, f, u in _TIME_UNITS if shown < limit)
    return f"{seconds * factor:.3g} {unit}"


def megabytes(size: int | None) -> str:
    """Bytes in units of 2**20.

    >>> megabytes(5 * 2**30)
    '5,120 MB'
    """
    return "" if size is None else f"{size / 2**20:,.0f} MB"
