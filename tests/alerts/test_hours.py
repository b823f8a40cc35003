"""When a maintainer works: weekends, public holidays and the change of the clock."""

from datetime import UTC, datetime

from feedmill.alerts.hours import is_at_work, next_work, next_working_day
from feedmill.spec import Maintainer

BERLIN = Maintainer("b", "", "mailto:b@example.com", time_zone="Europe/Berlin", holidays="DE-BE")


def utc(*of):
    return datetime(*of, tzinfo=UTC)


def test_working_hours_are_local_and_their_end_is_exclusive():
    assert not is_at_work(BERLIN, utc(2026, 5, 4, 6, 59)), "8:59 in summer"
    assert is_at_work(BERLIN, utc(2026, 5, 4, 7))
    assert is_at_work(BERLIN, utc(2026, 5, 4, 14, 59))
    assert not is_at_work(BERLIN, utc(2026, 5, 4, 15))
    assert is_at_work(BERLIN, utc(2026, 12, 1, 8)), "9:00 in winter"
    assert not is_at_work(BERLIN, utc(2026, 12, 1, 7))


def test_from_friday_evening_the_next_work_is_on_monday():
    assert next_work(BERLIN, utc(2026, 5, 8, 15)) == utc(2026, 5, 11, 7)


def test_a_public_holiday_is_no_working_day():
    # 1 May 2026 is a Friday.
    assert next_work(BERLIN, utc(2026, 4, 30, 20)) == utc(2026, 5, 4, 7)
    elsewhere = Maintainer("u", "", "mailto:u@example.com", time_zone="Europe/Berlin")
    assert next_work(elsewhere, utc(2026, 4, 30, 20)) == utc(2026, 5, 1, 7)
    assert next_work(BERLIN, utc(2026, 3, 6, 20)) == utc(2026, 3, 9, 8)
    part = Maintainer("p", "", "mailto:p@example.com", time_zone="Europe/Berlin", holidays="DE-BE")
    # Women's Day is a holiday in Berlin only: 8 March 2027 is a Monday.
    assert next_work(part, utc(2027, 3, 5, 20)) == utc(2027, 3, 9, 8)


def test_in_working_hours_the_next_work_is_now():
    now = utc(2026, 5, 4, 10, 30)
    assert next_work(BERLIN, now) == now


def test_the_next_working_day_begins_in_the_morning_even_if_it_is_work_now():
    assert next_working_day(BERLIN, utc(2026, 5, 4, 10)) == utc(2026, 5, 5, 7)
    assert next_working_day(BERLIN, utc(2026, 5, 4, 3)) == utc(2026, 5, 4, 7), "before work: the same day"
