"""Masks are the same in every text, and change nothing else."""

from __future__ import annotations

import pytest

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
    assert masks.text("by jdoe12 (jdoe12@lab)") == "by user (user@lab)"
    for text, masked in (
        ("anna@node-7.example.org:~$ USER=anna", "user@localhost:~$ USER=user"),
        ("environ({'USER': 'anna', 'LOGNAME': 'anna'})", "environ({'USER': 'user', 'LOGNAME': 'user'})"),
        ("scp anna@lab.example.com:/data/x .", "scp user@lab.example.com:/data/x ."),
        ("ssh anna@hpc7", "ssh user@hpc7"),
        ("INFO\tUser: anna.", "INFO\tUser: user."),
        ("uid=1000(anna) gid=100(users)", "uid=1000(user) gid=100(users)"),
        ("total 8\n-rw-r--r-- 1 anna astro 5 May  1 x.ms", "total 8\n-rw-r--r-- 1 user astro 5 May  1 x.ms"),
        ("ls ~anna/x", "ls ~user/x"),
    ):
        assert masks.text(text) == masked
    # Words, and other names, stay.
    for text in ("anna said anna", "anna@example.com", "jdoe123", "anna/x.ms", "jdoe12/x.ms", "USER=annabel"):
        assert masks.text(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("/scratch/anna/x.ms", "/scratch/user/x.ms"),
        ("vis = '/data/users/anna'", "vis = '/data/users/user'"),
        ('{"vis": "/my disk/anna/x.ms"}', '{"vis": "/my disk/user/x.ms"}'),
        ("opened /tmp/pytest-of-anna/x, /tmp/anna.", "opened /tmp/pytest-of-user/x, /tmp/user."),
        ("PATH=/bin:/scratch/anna/bin", "PATH=/bin:/scratch/user/bin"),
        ("file:///scratch/anna/x.ms", "file:///scratch/user/x.ms"),
        ("rsync lab:/scratch/anna/x.ms", "rsync lab:/scratch/user/x.ms"),
        ("['../anna/x.ms', f'{top}/anna/y']", "['../user/x.ms', f'{top}/user/y']"),
        ("/home/anna/anna-2/x", "/~/user-2/x"),
        ("/scratch/anna/nb/anna/x.image", "/scratch/user/nb/anna/x.image"),
    ],
)
def test_an_account_is_masked_in_paths_outside_of_the_home(text: str, masked: str) -> None:
    masks = Masks(homes=("/home/anna",), users=("anna",), folders=("/scratch/anna/nb", ""))
    assert masks.text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/anna/reduction.git",
        "ivo://anna/x?/anna",
        "/data/annabel/x.ms",
        "/data/hannah",
        "/data/anna-2.ms/table.dat",
        "anna/bob and either/anna",
        "1/anna",
        "m.image/anna",
    ],
)
def test_other_names_and_words_stay(text: str) -> None:
    assert Masks(users=("anna",)).text(text) == text
