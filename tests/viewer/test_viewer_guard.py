"""Who may ask the viewer's server, decided on headers alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liverplan.viewer.guard import Guard, new_key

GUARD = Guard(key="k" + "a" * 32, secret="ks", port=lambda: 4321)
OWN = {"Host": "127.0.0.1:4321"}
WEBSOCKET = {**OWN, "Upgrade": "websocket"}
KEY = {"key": GUARD.key}
COOKIE = {"liverplan_4321": GUARD.key}


def test_the_printed_address_may_pass_and_so_may_the_cookie_that_follows():
    assert GUARD.refusal(OWN, {}, KEY) is None
    assert GUARD.refusal(OWN, COOKIE, {}) is None
    assert GUARD.refusal({"Host": "localhost:4321"}, COOKIE, {}) is None


@given(st.text(max_size=60).filter(lambda text: text != GUARD.key))
def test_any_other_key_is_refused(key):
    assert GUARD.refusal(OWN, {}, {"key": key}) is not None
    assert GUARD.refusal(OWN, {"liverplan_4321": key}, {}) is not None


def test_no_key_is_refused():
    assert "key" in GUARD.refusal(OWN, {}, {})


def test_the_cookie_of_another_start_is_no_key():
    assert GUARD.refusal(OWN, {"liverplan_9999": GUARD.key}, {}) is not None


@given(st.sampled_from(["evil.example", "evil.example:4321", "127.0.0.1", "127.0.0.1:80", "", "[::1]:4321"]))
def test_a_foreign_host_is_refused_even_with_the_key(host):
    assert GUARD.refusal({"Host": host}, COOKIE, KEY) is not None


@given(st.sampled_from(["http://evil.example", "null", "https://127.0.0.1:4321", "http://127.0.0.1:9", ""]))
def test_a_foreign_origin_is_refused_even_with_the_key(origin):
    assert GUARD.refusal({**OWN, "Origin": origin}, COOKIE, KEY) is not None
    assert GUARD.refusal({**WEBSOCKET, "Origin": origin}, COOKIE, KEY) is not None


def test_the_page_of_localhost_is_not_the_page_of_127_0_0_1():
    assert GUARD.refusal({**OWN, "Origin": "http://localhost:4321"}, COOKIE, {}) is not None


def test_a_websocket_states_its_origin_and_its_key():
    assert GUARD.refusal({**WEBSOCKET, "Origin": "http://127.0.0.1:4321"}, COOKIE, {}) is None
    assert GUARD.refusal(WEBSOCKET, COOKIE, {}) is not None
    assert GUARD.refusal({**WEBSOCKET, "Origin": "http://127.0.0.1:4321"}, {}, {}) is not None


def test_every_start_has_a_key_of_its_own_that_no_script_reads_as_a_number():
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(len(key) > 30 and not key[0].isdigit() for key in keys)
