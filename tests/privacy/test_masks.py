"""Masks are the same in every text, and change nothing else."""

from __future__ import annotations

from casaprov.privacy.masks import Masks, mask_of

MASKS = Masks(secrets=frozenset({"s3same", "s3same-and-more"}), homes=("/home/anna",), hosts=("node-7.example.org",))


def test_a_mask_is_as_long_as_the_secret() -> None:
    assert [len(mask_of("x" * n)) for n in (4, 8, 40)] == [4, 8, 40]
    assert MASKS.binary(b"\x06s3same\0s3same-and-more") == b"\x06REDACT\0REDACTED*******"


def test_the_longest_secret_is_masked_as_a_whole() -> None:
    assert MASKS.text("s3same-and-more s3same") == "REDACTED******* REDACT"


def test_a_home_ends_where_its_name_does() -> None:
    assert (
        MASKS.text("/home/anna/x '/home/anna' /home/annabel /data/home/anna/x")
        == "/~/x '/~' /home/annabel /data/home/anna/x"
    )
    assert MASKS.text("on node-7.example.org:") == "on localhost:"


def test_json_is_masked_in_keys_values_and_texts_of_several_lines() -> None:
    value = {"s3same": ["a", {"b": "/home/anna"}], "n": 1.5}
    assert MASKS.json(value) == {"REDACT": ["a", {"b": "/~"}], "n": 1.5}
    masks = Masks(secrets=frozenset({"one\ntwo"}))
    assert masks.json(["x one\n", "two\n", "y"], lines=True) == ["x REDACTE\n", "y"]
    assert masks.json(["x one\n", "y"], lines=True) == ["x one\n", "y"]


def test_digests_of_what_was_masked_are_replaced() -> None:
    masks = MASKS.with_digests([("sha256:aa", "sha256:bb"), ("sha256:cc", "sha256:cc")])  # type: ignore[list-item]
    assert masks.json({"digest": "sha256:aa", "other": "sha256:cc"}) == {"digest": "sha256:bb", "other": "sha256:cc"}


def test_the_name_of_an_account_is_masked_where_it_is_meant() -> None:
    masks = Masks(homes=("/home/anna",), hosts=("node-7.example.org",), users=("anna", "jdoe12"))
    assert masks.text("anna@node-7.example.org:~$ USER=anna") == "user@localhost:~$ USER=user"
    assert masks.text("environ({'USER': 'anna', 'LOGNAME': 'anna'})") == "environ({'USER': 'user', 'LOGNAME': 'user'})"
    assert masks.text("by jdoe12 (jdoe12@lab)") == "by user (user@lab)"
    # Words, other names, and paths that lead to files stay.
    for text in (
        "anna said anna",
        "anna@example.com",
        "jdoe123",
        "/scratch/jdoe12/x.ms",
        "jdoe12/x.ms",
        "USER=annabel",
    ):
        assert masks.text(text) == text
