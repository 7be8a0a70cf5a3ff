"""Around every change of a clock the instant of a datetime is kept, or the datetime is refused."""

import importlib.resources
import zoneinfo
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset.codecs import (
    MsgpackSerializer,
    NamedtupleSerializer,
    PickleSerializer,
    ValueSerializer,
)
from redset.exceptions import InvalidValueError, SerializerError
from tests.unit.codecs.strategies import BERLIN, FOLDED, SKIPPED, depends_on_fold

Visit = namedtuple("Visit", "at")

VALUES, MSGPACK = ValueSerializer(), MsgpackSerializer()
VISITS: Any = NamedtupleSerializer(Visit)
BY_EQUALITY: list[Any] = [
    VALUES,
    PickleSerializer(),
    PickleSerializer(secret=b"0123456789abcdef"),
]
ZONES = [
    "Africa/Cairo", "Africa/Casablanca", "Africa/Monrovia", "America/Caracas",
    "America/New_York", "America/Nuuk", "America/Sao_Paulo", "America/St_Johns",
    "Antarctica/Troll", "Asia/Kathmandu", "Asia/Manila", "Asia/Pyongyang",
    "Asia/Tehran", "Australia/Lord_Howe", "Europe/Amsterdam", "Europe/Berlin",
    "Europe/Dublin", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati",
]  # fmt: skip
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@cache
def changes(name: str) -> list[datetime]:
    """Every moment, in UTC, at which the clocks of the zone change."""
    zone, found = ZoneInfo(name), []

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(zone).utcoffset()

    day = datetime(1900, 1, 1, tzinfo=UTC)
    before = offset(day)
    while day.year < 2040:
        day += DAY
        after = offset(day)
        if after != before:
            low, high = day - DAY, day
            while high - low > SECOND:
                middle = low + (high - low) // 2
                low, high = (middle, high) if offset(middle) == before else (low, middle)
            found.append(high.replace(microsecond=0))
            before = after
    return found


def around(name: str, change: datetime) -> Iterator[datetime]:
    """The times that clocks show about a change, each with either fold."""
    zone = ZoneInfo(name)
    ends = [(change - SECOND).astimezone(zone), change.astimezone(zone)]
    for end in ends:
        for minutes in (-60, -30, -1, 0, 30, 60):
            shown = end.replace(tzinfo=None) + timedelta(minutes=minutes)
            for fold in (0, 1):
                yield shown.replace(tzinfo=zone, fold=fold)


def instant(moment: datetime) -> tuple[datetime, bool]:
    return moment.astimezone(UTC), moment.utcoffset() is None


def check(moment: datetime) -> None:
    assert instant(MSGPACK.loads(MSGPACK.dumps(moment))) == instant(moment)
    [at] = VISITS.loads(VISITS.dumps(Visit(moment)))
    assert instant(at) == instant(moment)
    for serializer in BY_EQUALITY:
        try:
            member = serializer.dumps((moment,))
        except InvalidValueError:
            assert depends_on_fold(moment)
            assert moment.fold
        else:
            [back] = serializer.loads(member)
            assert back == moment
            assert instant(back) == instant(moment)


@pytest.mark.parametrize("name", ZONES)
def test_the_instant_survives_every_codec_around_every_change_of_a_zone(name: str) -> None:
    assert changes(name)
    for change in changes(name):
        for moment in around(name, change):
            check(moment)


@pytest.mark.law
@given(st.data())
def test_the_instant_of_any_datetime_survives_every_codec(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ZONES))
    moment = data.draw(
        st.one_of(
            st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones()),
            st.builds(
                lambda change, delta, zone, fold: (
                    (change + delta).astimezone(zone).replace(fold=fold)
                ),
                st.sampled_from(changes(name)),
                st.timedeltas(-timedelta(hours=3), timedelta(hours=3)),
                st.just(ZoneInfo(name)),
                st.sampled_from([0, 1]),
            ),
        )
    )
    check(moment)


@pytest.mark.parametrize("shown", [FOLDED, SKIPPED], ids=["twice", "never"])
def test_documents_keep_both_times_that_a_clock_shows_alike(shown: datetime) -> None:
    first, second = (shown.replace(tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    assert MSGPACK.dumps(first) != MSGPACK.dumps(second)
    for moment in (first, second):
        back = MSGPACK.loads(MSGPACK.dumps([moment, {"at": moment}]))
        for each in (back[0], back[1]["at"]):
            assert each == moment
            assert (each.fold, each.tzinfo) == (moment.fold, BERLIN)


@pytest.mark.parametrize("serializer", BY_EQUALITY)
def test_where_equality_decides_the_second_of_two_equal_times_is_refused(serializer: Any) -> None:
    for shown in (FOLDED, SKIPPED):
        moment = shown.replace(tzinfo=BERLIN, fold=1)
        with pytest.raises(InvalidValueError, match=r"fold=1.*astimezone\(UTC\)"):
            serializer.dumps(moment)
        serializer.dumps(moment.astimezone(UTC))


def test_the_mark_of_the_second_time_is_no_value() -> None:
    with pytest.raises(SerializerError):
        VALUES.loads(b"D:2024-10-27T02:30:00[Europe/Berlin](2)")


class Unnamed(tzinfo):
    """A zone whose clocks go back at 3:00 on one day, and that no name leads to."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        if moment is None:
            return None
        late = moment.replace(tzinfo=None) >= FOLDED.replace(minute=0) + timedelta(
            hours=moment.fold ^ 1
        )
        return timedelta(hours=1 if late else 2)

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None


def renamed() -> ZoneInfo:
    """Another zone's clocks under the name of one: a reader would find other offsets."""
    for root in zoneinfo.TZPATH:
        if (path := Path(root, "Europe/Berlin")).is_file():
            with path.open("rb") as file:
                return ZoneInfo.from_file(file, key="America/New_York")
    data = importlib.resources.files("tzdata.zoneinfo.Europe").joinpath("Berlin")
    with data.open("rb") as file:
        return ZoneInfo.from_file(file, key="America/New_York")


@pytest.mark.parametrize("make", [Unnamed, renamed])
@pytest.mark.parametrize("fold", [0, 1])
def test_a_zone_that_no_reader_finds_is_refused_or_left_for_utc(make: Any, fold: int) -> None:
    moment = FOLDED.replace(tzinfo=make(), fold=fold)
    assert MSGPACK.loads(MSGPACK.dumps(moment)) == moment.astimezone(UTC)
    for serializer in BY_EQUALITY:
        with pytest.raises(InvalidValueError, match="astimezone"):
            serializer.dumps(moment)


def test_a_naive_datetime_comes_back_without_its_fold() -> None:
    """Python counts the two as equal, and no zone says what the fold would mean."""
    for serializer in (*BY_EQUALITY, MSGPACK):
        assert serializer.dumps(FOLDED) == serializer.dumps(FOLDED.replace(fold=1))
        assert serializer.loads(serializer.dumps(FOLDED.replace(fold=1))).fold == 0


def test_a_time_with_an_offset_comes_back_equal_and_as_near_to_utc_as_its_day_allows() -> None:
    east = timezone(timedelta(hours=1))
    for serializer in (*BY_EQUALITY, MSGPACK):
        for hour, offset in ((12, 0), (0, 0.5)):
            moment = datetime(1, 1, 1, hour, 30, tzinfo=east).timetz()
            back = serializer.loads(serializer.dumps(moment))
            assert back == moment
            assert back.utcoffset() == timedelta(hours=offset)
