from rendering.quarantine import SECONDS, SIZE, Quarantine


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_second_strike_refuses_for_a_while() -> None:
    clock = Clock()
    quarantine = Quarantine(clock)
    quarantine.add_strike(b"a")
    assert not quarantine.refuses(b"a")
    clock.now += SECONDS - 1
    quarantine.add_strike(b"a")
    assert quarantine.refuses(b"a")
    assert not quarantine.refuses(b"b")
    clock.now += SECONDS - 1
    assert quarantine.refuses(b"a")
    clock.now += 1
    assert not quarantine.refuses(b"a")


def test_a_strike_long_after_the_first_is_a_first_one() -> None:
    clock = Clock()
    quarantine = Quarantine(clock)
    quarantine.add_strike(b"a")
    clock.now += SECONDS
    quarantine.add_strike(b"a")
    assert not quarantine.refuses(b"a")


def test_the_table_forgets_the_oldest_when_it_is_full() -> None:
    quarantine = Quarantine(Clock())
    for key in (b"first", b"last"):
        quarantine.add_strike(key)
        quarantine.add_strike(key)
    for number in range(SIZE - 1):
        quarantine.add_strike(str(number).encode())
    assert not quarantine.refuses(b"first")
    assert quarantine.refuses(b"last")
