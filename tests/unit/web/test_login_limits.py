"""How long somebody waits who keeps failing."""

from dicom_node.web.limits import InMemory, LoginLimits


class Seconds:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _fail(limits: LoginLimits, account: str, address: str, times: int) -> list[float]:
    return [limits.begin(account, address) for _ in range(times)]


def test_the_first_attempts_are_free_and_the_wait_doubles_up_to_a_limit() -> None:
    clock = Seconds()
    limits = LoginLimits(InMemory(clock))
    assert _fail(limits, "kim", "10.0.0.1", 5) == [0.0] * 5
    waits = []
    for _ in range(13):
        waits.append(limits.begin("kim", "10.0.0.1"))
        clock.now += waits[-1]
        assert limits.begin("kim", "10.0.0.1") == 0.0
    assert waits[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert waits[-1] == 900.0


def test_a_wait_is_not_prolonged_by_asking() -> None:
    clock = Seconds()
    limits = LoginLimits(InMemory(clock))
    _fail(limits, "kim", "10.0.0.1", 8)
    first = limits.begin("kim", "10.0.0.1")
    clock.now += first / 2
    assert limits.begin("kim", "10.0.0.1") == first / 2


def test_another_address_of_the_same_person_is_not_locked_out() -> None:
    limits = LoginLimits(InMemory(Seconds()))
    _fail(limits, "kim", "10.0.0.1", 10)
    assert limits.begin("kim", "10.0.0.2") == 0.0


def test_one_address_cannot_try_many_accounts() -> None:
    limits = LoginLimits(InMemory(Seconds()))
    waits = [limits.begin(f"user{n}", "10.0.0.1") for n in range(30)]
    assert waits[:20] == [0.0] * 20
    assert waits[-1] > 0


def test_an_ipv6_network_is_one_address() -> None:
    limits = LoginLimits(InMemory(Seconds()))
    waits = [limits.begin(f"user{n}", f"2001:db8::{n + 1:x}") for n in range(30)]
    assert waits[-1] > 0
    assert limits.begin("lee", "2001:db8:0:1::1") == 0.0
    mapped = LoginLimits(InMemory(Seconds()))
    _fail(mapped, "kim", "::ffff:10.0.0.1", 5)
    assert mapped.begin("kim", "10.0.0.1") > 0


def test_many_addresses_slow_one_account_down_and_never_for_long() -> None:
    clock = Seconds()
    limits = LoginLimits(InMemory(clock))
    for number in range(500):
        clock.now += limits.begin("kim", f"10.0.{number // 250}.{number % 250}")
    assert 0 < limits.begin("kim", "10.9.9.9") <= 30.0


def test_a_success_forgets_the_failures_of_the_account_and_not_of_the_address() -> None:
    clock = Seconds()
    limits = LoginLimits(InMemory(clock))
    _fail(limits, "kim", "10.0.0.1", 4)
    assert limits.begin("kim", "10.0.0.1") == 0.0
    limits.succeeded("kim", "10.0.0.1")
    assert _fail(limits, "kim", "10.0.0.1", 5) == [0.0] * 5
    # Whoever has one account does not reset the count with it.
    own = LoginLimits(InMemory(clock))
    for number in range(30):
        own.begin(f"user{number}", "10.0.0.2")
        if own.begin("mine", "10.0.0.2") == 0:
            own.succeeded("mine", "10.0.0.2")
    assert own.begin("lee", "10.0.0.2") > 0


def test_failures_are_forgotten_after_an_hour() -> None:
    clock = Seconds()
    limits = LoginLimits(InMemory(clock))
    _fail(limits, "kim", "10.0.0.1", 9)
    clock.now += 3601
    assert limits.begin("kim", "10.0.0.1") == 0.0
