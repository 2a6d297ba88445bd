from rendering.quarantine import MAX_ENTRIES, QUARANTINE_SECONDS, Quarantine


class QuarantineClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_second_strike_refuses_for_a_while() -> None:
    clock = QuarantineClock()
    quarantine = Quarantine(clock)
    quarantine.record_stop(b"a")
    assert not quarantine.refuses(b"a")
    clock.now += QUARANTINE_SECONDS - 1
    quarantine.record_stop(b"a")
    assert quarantine.refuses(b"a")
    assert not quarantine.refuses(b"b")
    clock.now += QUARANTINE_SECONDS - 1
    assert quarantine.refuses(b"a")
    clock.now += 1
    assert not quarantine.refuses(b"a")


def test_a_strike_long_after_the_first_is_a_first_one() -> None:
    clock = QuarantineClock()
    quarantine = Quarantine(clock)
    quarantine.record_stop(b"a")
    clock.now += QUARANTINE_SECONDS
    quarantine.record_stop(b"a")
    assert not quarantine.refuses(b"a")


def test_the_table_forgets_the_oldest_when_it_is_full() -> None:
    quarantine = Quarantine(QuarantineClock())
    for key in (b"first", b"last"):
        quarantine.record_stop(key)
        quarantine.record_stop(key)
    for number in range(MAX_ENTRIES - 1):
        quarantine.record_stop(str(number).encode())
    assert not quarantine.refuses(b"first")
    assert quarantine.refuses(b"last")
