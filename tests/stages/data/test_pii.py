"""Personal data in the forms that people write them in are found; what looks like them is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.stages.data.refining import pii
from qtui.stages.data.refining.pii import find, mask


def masked(text: str, kinds: tuple[str, ...] = pii.KINDS) -> str:
    return mask(text, find(text, kinds))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # e-mail
        ("Write to jane.doe+tax@mail.example.co.uk.", "Write to [EMAIL]."),
        ("<a href='mailto:o'neil@site.org'>", "<a href='mailto:[EMAIL]'>"),
        ("müller@bücher.de, иван@пример.рф", "[EMAIL], [EMAIL]"),
        ("邮箱是anna@web.de。", "邮箱是[EMAIL]。"),
        ("jane [at] example [dot] org or jane(at)example.org", "[EMAIL] or [EMAIL]"),
        ("a@b.com@c.com", "[EMAIL]@c.com"),
        # phone
        ("Ring +49 (0)30 1234567 or +1-212-736-5000.", "Ring [PHONE] or [PHONE]."),
        ("(212) 736-5000, 212.736.5000, 1-212-736-5000", "[PHONE], [PHONE], [PHONE]"),
        ("(555) 123-4567 ext. 12", "[PHONE]"),
        ("030 / 1234567 und 0171-1234567", "[PHONE] und [PHONE]"),
        ("Au 06 12 34 56 78, merci", "Au [PHONE], merci"),
        ("020 7946 0958 or 0049 30 1234567", "[PHONE] or [PHONE]"),
        ("My mobile: 98765 43210", "My mobile: [PHONE]"),
        ("电话：138 0013 8000", "电话：[PHONE]"),
        ("Call 555-1234 now", "Call [PHONE] now"),
        ("(11) 91234-5678", "[PHONE]"),
        ("(212-736-5000) (+49 30 1234567)", "([PHONE]) ([PHONE])"),
        ("in 2024 212-736-5000 2025", "in 2024 [PHONE] 2025"),
        # card
        ("4111 1111 1111 1111 / 5555-5555-5555-4444", "[CARD] / [CARD]"),
        ("Amex 3782 822463 10005, Diners 30569309025904", "Amex [CARD], Diners [CARD]"),
        ("card_number=4111111111111111", "card_number=[CARD]"),
        # IBAN
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF", "IBAN [IBAN] BIC COBADEFF"),
        ("GB82WEST12345698765432, no9386011117947", "[IBAN], [IBAN]"),
        # SSN
        ("SSN 219-45-6789", "SSN [SSN]"),
        ("social security number: 219 45 6789", "social security number: [SSN]"),
        # IP
        ("from 203.0.113.7:8080 and http://192.168.1.20/", "from [IP]:8080 and http://[IP]/"),
        ("ping 8.8.8.8", "ping [IP]"),
        ("10.0.0.20-10.0.0.99", "[IP]-[IP]"),
        ("2001:db8::8a2e:370:7334 and fe80::1ff:fe23:4567:890a", "[IP] and [IP]"),
        ("::ffff:203.0.113.9", "[IP]"),
        # secrets
        ("AKIAIOSFODNN7EXAMPLE", "[SECRET]"),
        ("export GH=ghp_16C7e42F292c6912E7710c838347Ae178B4a", "export GH=[SECRET]"),
        ("password=Summer2024!", "password=[SECRET]"),
        ('{"api_key": "f3a9c04b7d21e8865a90"}', '{"api_key": "[SECRET]"}'),
        (
            "postgres://app:s3cr3tPw@db.internal:5432/x",
            "postgres://app:[SECRET]@db.internal:5432/x",
        ),
        ("Authorization: Bearer abc123DEF456ghi789JKL0", "Authorization: Bearer [SECRET]"),
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9",
            "[SECRET]",
        ),
        (
            "x\n-----BEGIN RSA PRIVATE KEY-----\n"
            + "MIIEpAIBAAKCAQEA04up8hoqzS1+APIB0RhjXyObwHQnOzhAk5Bd7mhkSbPkyhP1\n" * 3
            + "-----END RSA PRIVATE KEY-----\ny",
            "x\n[SECRET]\ny",
        ),
    ],
)
def test_found(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:owner/name.git, icon@2x.png, @name@mastodon.social, a @ b, x@y",
        "On 2023-01-02 2024-05-06, from 05.10.2023 to 07.10.2023, 12/31/1999 23:59:59.123",
        "2010-2015, 1998 – 2004, pp. 1234-1250, ISBN 978-3-16-148410-0, ISSN 2049-3630",
        "Order no. 030-1234-5678, invoice 4111111111111111, tracking 1Z999AA10123456784",
        "4111 1111 1111 1112 and 1234 5678 9012 3456, EAN 4006381333931",
        "DE89 3704 0044 0532 0130 01, XX12 3456 7890 1234 5678",
        "000-12-3456, 666-12-3456, 900-12-3456, 123-456-78",
        "version 10.20.30.40, Chrome/120.0.6099.71, v2.31.4.25, section 3.1.2.1, pkg==21.0.3.30",
        "127.0.0.1, 0.0.0.0, 255.255.255.0, ::1, 224.0.0.251, 10.0.0.0/8, 1.3.6.1.4.1.311",
        "12:30:45, 00:1A:2B:3C:4D:5E, std::vector, a::b, 999.1.1.1, 01.02.03.04",
        "550e8400-e29b-41d4-a716-446655440000, d41d8cd98f00b204e9800998ecf8427e",
        "40.7128, -74.0060; 3.14159265358979; $1,234,567.89; 6,000,000,000; 1e10; 0x7fff5fbff8c0",
        "Llama-3.1-8B 412/1200, Decimal('+35236450.6'), 8.2.4.6 in sections \"8.2.4.44\", fc00::/7",
        "= 3600000000000 + 62426244000 + 198472480000",
        "lottery 03 12 25 33 41, sequence 1 2 3 4 5 6 7 8 9 10, 1 000 000 000",
        "password=YOUR_PASSWORD, api_key: <key>, token = ${TOKEN_1}, secret: xxxxxxxx12, pwd: ****",
        "token = tokenizer2.encode(text1), api_key = os.environ['KEY_1'], password = get_pw1(x)",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxx1, ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, http://user:password@h.io",
        "A key starts with -----BEGIN RSA PRIVATE KEY----- and then there is base64.",
        "1700000000000, 20240131123456, 9780306406157",
    ],
)
def test_decoys_are_left_alone(text: str) -> None:
    assert masked(text) == text


def test_words_before_a_number_decide() -> None:
    assert masked("phone number 98765 43210") == "phone number [PHONE]"
    assert masked("98765 43210 pieces") == "98765 43210 pieces"
    assert masked("Your order has the phone number 212-736-5000") != masked("order 212-736-5000")
    assert masked("SSN: 219456789") == "SSN: [SSN]"
    assert masked("lot 219456789") == "lot 219456789"


def test_only_the_kinds_asked_for() -> None:
    text = "jane@example.com, 203.0.113.7"
    assert masked(text, ("ip",)) == "jane@example.com, [IP]"
    assert find(text, ()) == []


def test_kinds_are_those_of_the_settings_and_never_quoted() -> None:
    found = find("4111 1111 1111 1111 jane@example.com")
    assert [(item.kind, item.start, item.end) for item in found] == [
        ("card", 0, 19),
        ("email", 20, 36),
    ]


def test_what_a_mask_brings_near_is_found_at_once() -> None:
    """ "phone" is too far from the number, until the address between them is a placeholder."""
    text = f"phone {'a' * 30}@example.com 98765 43210"
    assert masked(text) == "phone [EMAIL] [PHONE]"


_PIECES = st.sampled_from(
    [
        *("jane@example.com", "@", "+49 30 1234567", "(212) 736-5000", "98765 43210", "0", "12"),
        *("4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "219-45-6789", "203.0.113.7"),
        *("2001:db8::1", "::", "password=", "Summer2024!", "token: ", "AKIAIOSFODNN7EXAMPLE"),
        *("https://", "u:p4ssw0rd@h.io", " ", "\n", "phone ", "order ", "[", "]", ".", "-", "a"),
        *("[EMAIL]", "[PHONE]", "ssn ", "ip ", "x" * 30, "card ", "(at)", "(dot)", "org"),
        *("-----BEGIN PRIVATE KEY-----", "MIIEpAIBAAKCAQEA04up8hoqzS1", "eyJhbGciOiJI", "é", "终"),
    ]
)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from("0123456789 .-+()/:@aAfx[]"), max_size=40),
    st.lists(_PIECES, max_size=10).map("".join),
    st.lists(_PIECES, max_size=10).map(" ".join),
)
KINDS = st.sets(st.sampled_from(pii.KINDS))


@given(TEXTS, KINDS)
def test_nothing_is_left_in_a_masked_text(text: str, kinds: set[str]) -> None:
    once = mask(text, find(text, kinds))
    assert find(once, kinds) == []
    assert mask(once, find(once, kinds)) == once


@given(TEXTS, KINDS)
def test_spans_lie_inside_in_order_and_apart(text: str, kinds: set[str]) -> None:
    end = 0
    for item in find(text, kinds):
        assert item.kind in kinds
        assert end <= item.start < item.end <= len(text)
        end = item.end


@given(TEXTS)
def test_masking_touches_nothing_else(text: str) -> None:
    found = find(text)
    rest = mask(text, found)
    end = 0
    for item in found:
        between = text[end : item.start] + pii.placeholder(item.kind)
        assert rest.startswith(between)
        rest = rest[len(between) :]
        end = item.end
    assert rest == text[end:]
