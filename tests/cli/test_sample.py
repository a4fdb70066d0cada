"""`charrnn sample`, in this process and as a real one: streaming, pipes, signals and terminals."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
TEXT = (
    "KING:\nOnce more, good night.\n\nQUEEN:\nSo be it, caf\u00e9 or no; the owl is abroad.\n\n"
    * 30
)
COMMAND = [sys.executable, "-m", "charrnn.cli.main", "sample"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small run, checkpoints/tiny, which is the newest."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "tiny.txt").write_text(TEXT, encoding="utf-8")
    corpus = charrnn.Corpus.read(folder / "tiny.txt")
    model = charrnn.ModelConfig(hidden=16, layers=1, mogrifier=0)
    run = charrnn.Run.new(corpus, model, charrnn.TrainConfig(4, 16, steps=20, optimizer="adamw"))
    for _ in charrnn.train(run, corpus, threads=1):
        pass
    (folder / "checkpoints" / "tiny").mkdir(parents=True)
    charrnn.save_run(folder / "checkpoints" / "tiny" / "last.safetensors", run)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def sample(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["sample", *arguments])
    assert result.exit_code == status, result.output
    return result


def process(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    pipes = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        **options,
    }
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # where tests run in the background it is ignored
    try:
        return subprocess.Popen(
            [*COMMAND, *arguments], env={**os.environ, "PYTHONPATH": paths}, **pipes
        )
    finally:
        signal.signal(signal.SIGINT, before)


def shown_on_terminal(*arguments: Any) -> str:
    """What `sample` shows on a terminal."""
    import pty

    master, slave = pty.openpty()
    child = process(*arguments, stdout=slave)
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # Linux's way of saying that the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    _, err = child.communicate()
    assert child.returncode == 0, err
    return seen.decode()


def written(prime: str = "", length: int | None = None, **settings: Any) -> str:
    trained = charrnn.load("checkpoints/tiny/last.safetensors")
    config = charrnn.SamplingConfig(length=length, **settings)
    return "".join(charrnn.generate(trained, prime, config))


def test_the_newest_run_writes_what_the_library_does() -> None:
    assert sample("--seed", "3", "--prime", "KING").stdout == "KING" + written("KING", seed=3)


@pytest.mark.parametrize("place", ["checkpoints/tiny", "checkpoints/tiny/last.safetensors"])
def test_flags_reach_the_writer(place: str) -> None:
    flags = (
        "--seed",
        "5",
        "--length",
        "40",
        "--temperature",
        "1.3",
        "--top-k",
        "4",
        "--min-p",
        "0.9",
        "--prime",
        "So",
        "--no-prime",
    )
    settings = {"seed": 5, "temperature": 1.3, "top_k": 4}
    assert sample(place, *flags).stdout == written("So", 40, min_p=0.9, **settings)
    assert written("So", 40, min_p=0.9, **settings) != written("So", 40, **settings)


def test_temperature_zero_needs_no_seed() -> None:
    """Where a text without a prime starts is drawn too, so the seed is a fixed one."""
    flags = ("--temperature", "0", "--length", "80", "--json")
    assert json.loads(sample(*flags).stdout)["seed"] == 0
    assert sample(*flags).stdout == sample(*flags).stdout
    warmer = json.loads(sample(*flags, "--temperature-to", "1").stdout)
    assert warmer["seed"] > 0


def test_an_ensemble_writes_what_the_library_does(tmp_path: Path) -> None:
    run, corpus = (
        charrnn.load_run("checkpoints/tiny/last.safetensors"),
        charrnn.Corpus.read("tiny.txt"),
    )
    other = charrnn.Run.new(corpus, charrnn.ModelConfig(cell="gru", hidden=12, layers=2))
    charrnn.save_run(tmp_path / "other.safetensors", other)
    flags = (
        "--seed",
        "3",
        "--prime",
        "KING",
        "--length",
        "60",
        "--ensemble",
        str(tmp_path / "other.safetensors"),
    )
    config = charrnn.SamplingConfig(length=60, seed=3)
    expected = "".join(charrnn.generate([run.trained, other.trained], "KING", config))
    assert sample(*flags).stdout == "KING" + expected != "KING" + written("KING", 60, seed=3)
    found = json.loads(sample(*flags, "--json", "--count", "2").stdout)
    assert found["samples"][0]["text"] == expected and found["ensemble"] == [
        str(tmp_path / "other.safetensors")
    ]


def test_without_a_seed_texts_differ_and_json_tells_the_seed() -> None:
    first, second = (json.loads(sample("--json", "--prime", "KING").stdout) for _ in range(2))
    assert first["text"] != second["text"]
    assert first["text"] == written("KING", seed=first["seed"])
    assert first | {"text": "", "seed": 0} == {
        "text": "",
        "prime": "KING",
        "checkpoint": str(Path("checkpoints/tiny/last.safetensors")),
        **json.loads(json.dumps(asdict(charrnn.SamplingConfig(precision="int8").resolved()))),
        "ended": first["ended"],
        "again": first["again"],
    }


def test_count_writes_different_texts_the_first_as_without_it() -> None:
    samples = json.loads(sample("--count", "3", "--seed", "1", "--length", "50", "--json").stdout)[
        "samples"
    ]
    texts = [each["text"] for each in samples]
    assert texts[0] == written("", 50, seed=1) and [each["take"] for each in samples] == [1, 2, 3]
    assert len(set(texts)) == 3 and all(len(text) == 50 for text in texts)
    plain = sample(
        "--count", "3", "--seed", "1", "--length", "50", "--prime", "So", "--threads", "1"
    ).stdout
    assert plain.count("So") >= 3 and plain.endswith("\n")


def test_stop_ends_before_the_string() -> None:
    text = written("KING", 300, seed=2)
    place = text.index("\n")
    assert (
        sample("--seed", "2", "--prime", "KING", "--stop", "\n", "--length", "300").stdout
        == "KING" + text[:place]
    )


def test_every_stop_counts_and_newlines_can_be_typed() -> None:
    flags = ("--seed", "2", "--prime", "KING", "--length", "300")
    text = written("KING", 300, seed=2)
    line = text.index("\n")
    letter = text[line // 2]
    first = min(line, text.index(letter))
    for stops in (("\\n", letter), (letter, "\\n")):
        given = [word for stop in stops for word in ("--stop", stop)]
        assert sample(*flags, *given).stdout == "KING" + text[:first]
        assert sample(*flags, *given, "--keep-stop").stdout == "KING" + text[: first + 1]
    assert sample(*flags, "--stop", "\\n").stdout == "KING" + text[:line]
    found = json.loads(sample(*flags, "--stop", "\\n", "--count", "3", "--json").stdout)
    texts = [each["text"] for each in found["samples"]]
    assert texts[0] == text[:line] and not any("\n" in each for each in texts)
    assert found["stop"] == ["\n"] and found["samples"][0]["ended"] == "stop"


@pytest.mark.parametrize(
    ("stop", "named"),
    [("\\t", "U+0009"), ("KING\u2603", "U+2603"), ("\\\\n", "U+005C"), ("\\q", "U+005C")],
)
def test_a_stop_that_can_never_come_is_an_error(stop: str, named: str) -> None:
    error = sample("--stop", "\\n", "--stop", stop, status=1).stderr
    assert "--stop" in error and named in error and error.count("\n") == 1


def test_an_empty_stop_is_an_error() -> None:
    assert "--stop must be" in sample("--stop", "", status=2).stderr


def test_length_zero_prints_the_prime_only() -> None:
    assert sample("--length", "0", "--prime", "KING and QUEEN").stdout == "KING and QUEEN"


def test_a_prime_longer_than_the_length() -> None:
    assert sample("--length", "3", "--prime", TEXT, "--seed", "1").stdout == TEXT + written(
        TEXT, 3, seed=1
    )


def test_a_prime_file_is_read_like_the_text(folder: Path) -> None:
    (folder / "prime.txt").write_bytes(b"\xef\xbb\xbfKING:\r\nOnce")
    result = sample("--prime-file", "prime.txt", "--seed", "1", "--length", "9")
    assert result.stdout == "KING:\nOnce" + written("KING:\nOnce", 9, seed=1)


def test_unknown_characters_are_named_unless_told_otherwise() -> None:
    error = sample("--prime", "Ki\u00f1g", status=1).stderr
    assert "U+00F1" in error and "--unknown" in error and error.count("\n") == 1
    assert sample(
        "--prime", "Ki\u00f1g", "--unknown", "skip", "--no-prime", "--seed", "1"
    ).stdout == written("Kig", seed=1)
    assert sample(
        "--prime", "caf\u00e8", "--unknown", "nearest", "--no-prime", "--seed", "1"
    ).stdout == written("cafe", seed=1)


@pytest.mark.parametrize(
    ("flags", "status", "told"),
    [
        (("--length", "-1"), 2, "--length"),
        (("--temperature", "-1"), 2, "--temperature"),
        (("--temperature", "nan"), 2, "--temperature"),
        (("--top-k", "-1"), 2, "--top-k"),
        (("--min-p", "2"), 2, "--min-p"),
        (("--count", "0"), 2, "--count"),
        (("--seed", "-1"), 2, "--seed"),
        (("--prime", "a", "--prime-file", "b"), 2, "--prime-file"),
        (("--prime-file", "nothing.txt"), 1, "nothing.txt"),
        (("--prime-file", "latin.txt"), 1, "the prime (latin.txt): not UTF-8 (byte 0xe9 at posit"),
        (("--prime-file", "snow.txt"), 1, "the prime (snow.txt): not in the vocabulary: '\u2603'"),
        (("--prime", "\u2603", "--json"), 1, "the prime: not in the vocabulary"),
        (("nowhere",), 1, "nowhere"),
        (("checkpoints",), 1, "checkpoints"),
        (("tiny.txt",), 1, "tiny.txt"),
    ],
)
def test_what_a_user_gets_wrong_is_told(
    folder: Path, flags: tuple[str, ...], status: int, told: str
) -> None:
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "snow.txt").write_text("\u2603", encoding="utf-8")
    result = sample(*flags, status=status)
    assert told in result.stderr and not result.stdout


def test_an_extreme_temperature_is_no_warning() -> None:
    assert len(sample("--temperature", "1e300", "--length", "20").stdout) == 20


def test_a_run_of_bytes_streams_and_takes_any_prime(tmp_path: Path) -> None:
    corpus = charrnn.Corpus.from_text(bytes(range(256)) * 20, charrnn.CorpusConfig(unit="byte"))
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=8, layers=1))
    charrnn.save_run(tmp_path / "bytes.safetensors", run)
    (tmp_path / "prime").write_bytes(b"\xff\x00\r\n")
    result = sample(
        str(tmp_path / "bytes.safetensors"),
        "--prime-file",
        str(tmp_path / "prime"),
        "--length",
        "0",
    )
    assert result.stdout_bytes == b"\xff\x00\r\n"


@pytest.fixture(scope="module")
def byte_network(folder: Path) -> Path:
    """A network of all 256 bytes that writes any of them."""
    corpus = charrnn.Corpus.from_text(bytes(range(256)) * 20, charrnn.CorpusConfig(unit="byte"))
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=8, layers=1))
    charrnn.save_run(folder / "bytes.safetensors", run)
    return folder / "bytes.safetensors"


def test_an_ensemble_of_bytes_and_characters_is_an_error(byte_network: Path) -> None:
    error = sample("checkpoints/tiny", "--ensemble", str(byte_network), status=1).stderr
    assert "trained on bytes, the first on chars" in error and error.count("\n") == 1


BYTES = ("--length", "2000", "--seed", "1", "--temperature", "3", "--prime", "caf\u00e9")


def test_bytes_are_bytes_in_a_pipe(byte_network: Path) -> None:
    data = sample(str(byte_network), *BYTES, "--no-prime").stdout_bytes
    assert len(data) == 2000 and len(set(data)) > 200 and b"\xef\xbf\xbd" not in data
    whole = sample(str(byte_network), *BYTES).stdout_bytes
    assert whole == "caf\u00e9".encode() + data
    two = sample(str(byte_network), *BYTES, "--no-prime", "--count", "2").stdout_bytes
    assert two.startswith(data)
    found = json.loads(sample(str(byte_network), *BYTES, "--json").stdout)
    assert base64.b64decode(found["base64"]) == data
    assert found["text"] == data.decode("utf-8", "replace") and found["prime"] == "caf\u00e9"
    several = json.loads(sample(str(byte_network), *BYTES, "--json", "--count", "2").stdout)
    assert base64.b64decode(several["samples"][0]["base64"]) == data


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16", None])
def test_a_pipe_or_file_gets_utf8_and_bytes_in_any_locale(
    byte_network: Path, folder: Path, encoding: str | None
) -> None:
    """Windows' redirected output is of a code page, that of a service in C ASCII."""
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment = {**os.environ, **({"PYTHONIOENCODING": encoding} if encoding else locale)}
    environment["PYTHONPATH"] = str(ROOT)
    prime = "caf\u00e9".encode()
    (folder / "prime.bin").write_bytes(prime)
    for network, length in ((byte_network, 300), ("checkpoints/tiny", 0)):
        flags = [str(network), "--length", str(length), "--seed", "1", "--temperature", "3"]
        done = subprocess.run(
            [*COMMAND, *flags, "--prime-file", "prime.bin"],
            env=environment,
            capture_output=True,
            check=True,
        )
        assert done.stdout.startswith(prime) and done.stderr.count(b"\n") == 1
        assert len(done.stdout) == len(prime) + length


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_terminal_shows_bytes_that_are_text_and_the_rest_escaped(byte_network: Path) -> None:
    seen = shown_on_terminal(
        byte_network, "--prime", "caf\u00e9 \x1b\x07", "--length", "900", "--seed", "1"
    )
    assert seen.startswith("caf\u00e9 \\x1b\\x07") and "\\xff" in seen and "\ufffd" not in seen
    assert not {chr(code) for code in (*range(9), *range(14, 32), *range(127, 160))} & set(seen)


def test_the_help_explains_every_flag_and_ends_with_examples() -> None:
    text = sample("--help-all").stdout
    flags = (
        "length temperature top-k min-p seed prime prime-file count stop no-prime unknown json "
        "threads precision"
    )
    assert all(f"--{flag}" in text for flag in flags.split()) and "Examples:" in text


def test_a_pipe_is_the_prime_however_slow() -> None:
    child = process("--seed", "1", "--length", "30", stdin=subprocess.PIPE)
    assert child.stdin is not None
    for piece in (b"KI", b"NG:\n"):
        time.sleep(0.3)
        child.stdin.write(piece)
        child.stdin.flush()
    out, err = child.communicate()
    assert child.returncode == 0, err
    assert out.decode() == "KING:\n" + written("KING:\n", 30, seed=1)


def test_a_prime_from_standard_input_is_named_as_such() -> None:
    """Else the list of a `while read` loop that became a prime is a riddle."""
    for data, told in (
        (b"\xe2\x98\x83", b"error: the prime (from standard input): not in the vocabulary: '"),
        (b"caf\xe9", b"error: the prime (from standard input): not UTF-8 (byte 0xe9"),
    ):
        child = process("--length", "3", stdin=subprocess.PIPE)
        out, err = child.communicate(data)
        assert (child.returncode, out) == (1, b"") and told in err and err.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_a_prime_without_an_end_is_an_error() -> None:
    error = sample("--prime-file", "/dev/zero", status=1).stderr
    assert "the prime (/dev/zero): longer than 67.1 MB" in error and error.count("\n") == 1
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        child = process(stdin=endless.stdout)
        _, err = child.communicate(timeout=60)
        endless.kill()
    assert child.returncode == 1 and b"standard input): longer than 67.1 MB" in err


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_a_loop_over_a_file_keeps_its_lines(folder: Path) -> None:
    """What `while read` has not read yet is no prime; a file from its beginning is one."""
    (folder / "list.txt").write_text("one\ntwo\nthree\n")
    command = f"{sys.executable} -m charrnn.cli.main sample --length 4 --seed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    loop = f'while read name; do echo "$name:"; {command} 1; echo; done < list.txt'
    done = subprocess.run(["sh", "-c", loop], env=environment, capture_output=True, check=True)
    text = written("", 4, seed=1)
    assert done.stdout.decode() == "".join(f"{n}:\n{text}\n" for n in ("one", "two", "three"))
    assert done.stderr.count(b"\n") == 3
    (folder / "king.txt").write_text("KING")
    done = subprocess.run(
        ["sh", "-c", f"{command} 1 < king.txt"], env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode() == "KING" + written("KING", 4, seed=1)


@pytest.mark.parametrize(
    "flags",
    [
        ("--temperature", "0"),
        ("--temperature", "1e-6"),
        ("--temperature", "1e-300"),
        ("--top-k", "1000000000000"),
        ("--min-p", "1"),
        ("--min-p", "1", "--top-k", "1", "--temperature", "1e300"),
    ],
)
@pytest.mark.parametrize("count", ["1", "3"])
def test_settings_at_their_ends(flags: tuple[str, ...], count: str) -> None:
    common = ("--length", "30", "--seed", "4", "--count", count, "--json")
    found = json.loads(sample(*flags, *common).stdout)
    texts = [each["text"] for each in ([found] if count == "1" else found["samples"])]
    assert [len(text) for text in texts] == [30] * int(count)
    if flags[0] != "--top-k":
        greedy = json.loads(sample("--temperature", "0", "--length", "30", "--json").stdout)
        assert set(texts) == {greedy["text"]}


@pytest.mark.parametrize("flag", ["--length", "--after", "--min-length", "--max-length", "--lines"])
def test_a_number_that_no_text_reaches_is_one_line(flag: str) -> None:
    result = sample(flag, "9" * 20, "--seed", "1", status=2)
    assert f"{flag} must be at most" in result.stderr


def test_only_what_draws_nothing_has_seed_0() -> None:
    def seed(*flags: str) -> int:
        return int(json.loads(sample(*flags, "--length", "5", "--json").stdout)["seed"])

    greedy = "--temperature", "0"
    assert seed(*greedy) == seed(*greedy, "--inner-temperature", "0") == 0
    for flags in ("--inner-temperature", "0.8"), ("--temperature-to", "1"):
        assert seed(*greedy, *flags) > 0


def test_a_prime_of_unknown_characters_only_is_no_prime() -> None:
    flags = ("--unknown", "skip", "--no-prime", "--seed", "1", "--length", "40")
    assert sample("--prime", "\u2603\u2604", *flags).stdout == written("", 40, seed=1)


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
def test_a_reader_that_goes_away_in_the_middle_of_a_batch_is_no_error() -> None:
    child = process("--count", "2000", "--length", "400")
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(1000)
    child.stdout.close()
    assert child.wait(60) in (0, 141)
    assert child.stderr.read() == b""
    child.stderr.close()


def test_a_silent_pipe_does_not_matter_when_a_prime_is_given() -> None:
    child = process("--prime", "", "--seed", "1", "--length", "30", stdin=subprocess.PIPE)
    assert child.wait(60) == 0
    out, _ = child.communicate()
    assert out.decode() == written("", 30, seed=1)


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
def test_text_comes_as_it_is_made_and_an_interruption_is_quiet() -> None:
    child = process("--length", "1000000000", "--seed", "1")
    assert child.stdout is not None
    first = os.read(child.stdout.fileno(), 4)
    child.send_signal(signal.SIGINT)
    try:
        rest, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130 and b"Traceback" not in err
    assert written("", 4, seed=1) == (first + rest).decode()[:4]


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
def test_a_reader_that_goes_away_is_no_error() -> None:
    child = process("--length", "1000000000")
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(10)
    child.stdout.close()
    assert child.wait(60) in (0, 141)
    assert child.stderr.read() == b""
    child.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="bytes as arguments")
def test_arguments_that_are_no_text_do_not_crash() -> None:
    child = process("--prime", b"\xffKING", "--unknown", "skip", "--length", "0")
    out, err = child.communicate()
    assert (child.returncode, out) == (0, b"\xffKING") and err.startswith(b"again: printf ")
    child = process(b"\xff.safetensors")
    out, err = child.communicate()
    assert child.returncode == 1 and err.startswith(b"error: ") and err.count(b"\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_terminal_gets_no_control_characters_and_a_last_newline(tmp_path: Path) -> None:
    run = charrnn.Run.new(
        charrnn.Corpus.from_text("\x1b]0;title\x07\x9b31m" * 99),
        charrnn.ModelConfig(hidden=8, layers=1),
    )
    charrnn.save_run(tmp_path / "evil.safetensors", run)
    text = shown_on_terminal(tmp_path / "evil.safetensors", "--prime", "\x1b]0;", "--length", "200")
    assert text.startswith("\\x1b]0;") and text.endswith("\r\n")
    assert not set("\x1b\x07\x9b") & set(text)
