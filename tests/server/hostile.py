"""Bodies of requests that a server has to refuse."""

from __future__ import annotations

import json
from typing import Any


def _completion(**values: Any) -> bytes:
    return json.dumps({"prompt": "a", "max_tokens": 4, **values}).encode()


def _raw(text: str) -> bytes:
    return b'{"prompt": "a", ' + text.encode() + b"}"


DEEP = 100_000
WRONG: list[dict[str, Any]] = [
    *({"prompt": value} for value in (1, 1.5, True, {}, [], [[]] * 3 + [1], [None, 1], [["a"]])),
    *({"prompt": value} for value in ([1.5], [-1], [33], [10**30], [[0], [10**9]], ["a", 0])),
    *({"prompt": value} for value in ([True], ["a"] * 65, "a" * 100_001, ["a" * 60_000] * 2)),
    *({"max_tokens": value} for value in (-1, 1.5, "10", True, [], 16_385, 10**18, 10**400)),
    *({"temperature": value} for value in (-0.1, "hot", True, [], {}, 1e301, -(10**400))),
    *({"top_p": value} for value in (-1, 1.0001, "all", 2, [0.5])),
    *({"n": value} for value in (0, -1, 1.5, "2", 65, 10**30, True)),
    *({"best_of": value} for value in (0, 65, -3, "x")),
    {"n": 3, "best_of": 2},
    {"best_of": 3, "stream": True},
    *({"echo": value} for value in (1, "yes", [])),
    *({"logprobs": value} for value in (-1, 21, 1.5, True, "5")),
    *({"stop": value} for value in ("", [""], 1, ["a"] * 5, [1], {"a": 1}, [["a"]], "a" * 1001)),
    *({"seed": value} for value in (-1, 1.5, "7", 2**63, 10**100)),
    *({"stream": value} for value in (1, "true", {})),
    {"stream_options": {"include_usage": True}},
    {"stream": True, "stream_options": []},
    {"stream": True, "stream_options": {"include_usage": 1}},
    {"stream": True, "stream_options": {"other": True}},
    *({"logit_bias": value} for value in ([], "a", {"a": 1}, {"-1": 1}, {"33": 1}, {"0": "x"})),
    *({"logit_bias": value} for value in ({"0": 101}, {"0": -1e300}, {"0": True}, {"0": None})),
    {"logit_bias": {"1" * 5000: 1}},
    {"logit_bias": {"\u0661": 1}},
    {"logit_bias": {str(n): -100 for n in range(33)}},
    *({"presence_penalty": value} for value in (0.5, "0", True, False, [])),
    {"frequency_penalty": -2},
    *({"suffix": value} for value in ("end", 0, [])),
    *({"user": value} for value in (1, [], {})),
    *({"model": value} for value in (1, [], "gpt-3.5-turbo-instruct", "", "../../etc/passwd")),
    *({"top_k": value} for value in (-1, 1.5, "3", True)),
    *({"min_p": value} for value in (-0.5, 1.5, "a")),
    *({"until": value} for value in ("word", "chapter", 1, "document", [])),
    *({"lines": value} for value in (0, "1", 1.5)),
    {"lines": 2, "until": "line"},
    *({"take": value} for value in (0, -1, 2**60, "a")),
    *({"unknown": value} for value in ("drop", 1, "fold")),
    {"prompt": "\u0126", "unknown": "error"},
    *({"match": value} for value in ("(", "[", "a**", "*", 1, [], "(?=a)b", r"(a)\1", r"\bab")),
    *({"match": value} for value in ("Z", "a" * 501, "a{50}", "(?P<a>", "a{99999999}", "(?R)")),
    {"match": "(" * 250 + ")" * 250, "max_tokens": 50},
    {"match": "((((a{1,60}){1,60}){1,60}){1,60})", "max_tokens": 50},
    {"match": "(a|b|ab)*c" + "(a?b?c?){1,90}" * 20, "max_tokens": 50},
    {"match": "(x+x+)+y" * 3 + "(.*a.{25}){2}", "max_tokens": 99},
    {"match": ".*a.{24}", "max_tokens": 99},
    {"known_words": "yes"},
    {"known_words": True},
    *({"start": value} for value in (-1, "a", 2**40)),
    *({name: 1} for name in ("particles", "max_copy", "precision", "length", "must", "prime")),
    *({name: "x"} for name in ("tools", "messages", "max_token", "__class__", "", "\n")),
    {"x" * 100_000: 1},
    {"logprobs": 20, "n": 60, "max_tokens": 16_000},
    {"logprobs": 5, "echo": True, "prompt": "a" * 90_000},
    {"dry_penalty_last_n": 65_536},
]
"""Values of parameters of which each is wrong; the network of these tests has 33 symbols."""
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "space": b"  \n",
    "text": b"hello",
    "half": b'{"prompt": "a"',
    "a string": b'"prompt"',
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"7",
    "comma": b'{"prompt": "a",}',
    "single quotes": b"{'prompt': 'a'}",
    "form": b"prompt=a&max_tokens=4",
    "two objects": b'{"prompt": "a"}{"prompt": "b"}',
    "twice": b'{"prompt": "a", "prompt": "b"}',
    "twice inside": b'{"prompt": "a", "logit_bias": {"1": 1, "1": 2}}',
    "NaN": _raw('"temperature": NaN'),
    "infinity": _raw('"temperature": Infinity'),
    "minus infinity": _raw('"temperature": -Infinity'),
    "overflow": _raw('"temperature": 1e999'),
    "long number": _raw('"seed": ' + "9" * 5000),
    "leading zero": _raw('"seed": 007'),
    "hexadecimal": _raw('"seed": 0x10'),
    "deep lists": b'{"prompt": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep and open": b"[" * DEEP,
    "bad UTF-8": b'{"prompt": "a\xff\xfe"}',
    "UTF-16": '{"prompt": "a"}'.encode("utf-16"),
    "overlong UTF-8": b'{"prompt": "\xc0\xaf"}',
    "surrogate": rb'{"prompt": "a\ud83d"}',
    "raw surrogate": b'{"prompt": "a\xed\xa0\x80"}',
    "surrogates swapped": rb'{"prompt": "\udc00\ud800"}',
    "surrogate in a name": rb'{"\udc80": 1}',
    "surrogate in stop": rb'{"prompt": "a", "stop": ["\udfff"]}',
    "control character": b'{"prompt": "a\x00b"}',
    "bad escape": rb'{"prompt": "\q"}',
    "short escape": rb'{"prompt": "\u12"}',
    "byte order mark": b'\xef\xbb\xbf{"prompt": "a"}',
    "comment": b'{"prompt": "a" /* b */}',
}
BODIES: list[tuple[str, bytes]] = [
    *MALFORMED.items(),
    *((json.dumps(values)[:60], _completion(**values)) for values in WRONG),
]
