import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import charrnn
from charrnn.cli.live_bar import fitted, speed_text
from charrnn.cli.main import COMMANDS, cli
from charrnn.cli.train_display import Display
from charrnn.config.settings import CorpusConfig, ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.network.network import Network
from charrnn.runtime.shell import argument
from charrnn.training.recipe import learning_rate_for
from charrnn.training.recovery import FallBack
from charrnn.training.report import Report
from charrnn.training.run_file import load_run
from tests.cli.screen import Screen
from tests.reference.small import small_corpus, small_run

PROGRAM = [sys.executable, "-m", "charrnn.cli.main"]
TINY = [
    "--hidden",
    "8",
    "--layers",
    "1",
    "--batch-size",
    "4",
    "--seq-length",
    "16",
    "--threads",
    "1",
]
SECONDS = 120  # the first test on a machine compiles the kernels


@pytest.fixture
def text(tmp_path, monkeypatch):
    """A text of 3,000 words in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(charrnn.__file__).parents[1])
    )  # for the processes that tests start
    words = random.Random(1).choices(
        ["the", "sea", "sings", "of", "a", "stone", "and", "no", "king", "hears", "it\n"], k=3000
    )
    path = tmp_path / "sea.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return path


def invoke(*arguments, **options):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def program(*arguments, **options):
    arguments = [str(argument) for argument in arguments]
    return subprocess.run(
        PROGRAM + arguments, capture_output=True, text=True, timeout=SECONDS, **options
    )


def stop_at_first_validation(number, *arguments):
    """Run the program, send it a signal after its first validation; exit status and output."""
    with subprocess.Popen(
        PROGRAM + [str(a) for a in arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("step "):
                process.send_signal(number)
                process.send_signal(number)  # a second one, while it saves, changes nothing
        return process.wait(SECONDS), said


def test_every_setting_is_a_flag_with_its_help_and_default():
    text = " ".join(invoke("train", "--help-all").output.split())
    for config in (CorpusConfig, ModelConfig, TrainConfig):
        for field in fields(config):
            if field.name != "vocab_size":
                assert "--" + field.name.replace("_", "-") + " " in text
    for heading in ("Text:", "Network:", "Training:", "Run:", "Examples:"):
        assert heading in text
    assert f"[default: {ModelConfig().layers}]" in text
    assert "Units H per layer (default: by text and length)." in text
    assert "[default: None]" not in text
    for flag in ("--out", "--threads", "--config", "--resume", "--init-from", "--quiet", "--json"):
        assert flag in text


def test_the_groups_help_names_all_commands_and_imports_no_numbers():
    code = (
        "import sys, charrnn.cli.main as m\n"
        "try: m.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('numba', 'numpy', 'rich', 'tqdm') if n in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", said.stdout, re.M)
    assert invoke("--version").output.startswith("charrnn, version ")


def test_flags_reach_the_run_and_its_folder(text):
    result = invoke(
        "train",
        text,
        *TINY,
        "--steps",
        4,
        "--learning-rate",
        "0.01",
        "--val-fraction",
        "0.2",
        "--seed",
        7,
    )
    assert result.exit_code == 0, result.output
    run = load_run("checkpoints/sea/last.safetensors")
    assert (run.model.config.hidden, run.model.config.layers) == (8, 1)
    assert (run.config.batch_size, run.config.seq_length, run.config.steps, run.config.seed) == (
        4,
        16,
        4,
        7,
    )
    assert (run.config.learning_rate, run.corpus_config.val_fraction) == (0.01, 0.2)
    settings = tomllib.loads((text.parent / "checkpoints/sea/config.toml").read_text())
    assert settings["text"] == [str(text)]
    assert settings["hidden"] == 8 and settings["learning_rate"] == 0.01
    assert "sample from it: charrnn sample checkpoints/sea" in result.stderr
    assert result.stdout == ""


def test_flags_win_over_the_file_and_the_file_over_defaults(text):
    (text.parent / "run.toml").write_text(
        'text = "sea.txt"\nhidden = 12\nseq-length = 20\nbatch_size = 3\nsteps = 2\nout = "there"\n'
    )
    result = invoke("train", "--config", "run.toml", "--hidden", 8)
    assert result.exit_code == 0, result.output
    run = load_run("there/last.safetensors")
    assert (run.model.config.hidden, run.config.seq_length, run.config.batch_size) == (8, 20, 3)
    assert run.config.optimizer == "soap"
    assert run.config.learning_rate == learning_rate_for(8)


def test_the_settings_of_a_run_start_the_same_run_again(text):
    assert invoke("train", text, *TINY, "--steps", 5).exit_code == 0
    assert (
        invoke("train", "--config", "checkpoints/sea/config.toml", "--out", "again").exit_code == 0
    )
    first, second = (
        text.parent / path / "last.safetensors" for path in ("checkpoints/sea", "again")
    )
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("hidden = 'x'", "run.toml: --hidden must be a whole number, not 'x'"),
        ("hiden = 3", "run.toml: there is no setting 'hiden'; did you mean hidden?"),
        ("hidden =", "run.toml: not TOML"),
        ("hidden = 0", "run.toml: --hidden must be at least 1, not 0"),
        ("threads = '2'", "run.toml: threads cannot be '2'"),
        ("text = [1]", "run.toml: text must be a path or a list of paths"),
        ("\udcff", "run.toml: not TOML"),
    ],
)
def test_a_wrong_settings_file_is_one_line_and_status_2(text, toml, said):
    (text.parent / "run.toml").write_bytes(toml.encode("utf-8", "surrogateescape"))
    result = invoke("train", "--config", "run.toml")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {said}") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--hidden", "0"], 2, "error: --hidden must be at least 1, not 0"),
        (["--threads", "0"], 2, "error: --threads must be 1 to 1024"),
        (
            ["--config", "none.toml"],
            2,
            "error: none.toml: cannot be read: No such file or directory",
        ),
        (["--resume", "a", "--init-from", "b"], 2, "error: --resume continues a run"),
        (["--resume", "a", "--out", "b"], 2, "error: --resume a and --out b are different folders"),
        (["--resume"], 1, "error: no run in checkpoints/"),
        (["--resume", "nowhere"], 1, "error: nowhere: no run to resume"),
        (["--init-from", "nowhere"], 1, "error: nowhere: no such file"),
        (["none.txt"], 1, "error: none.txt: no such file or folder"),
        (["line\nbreak\x1b"], 1, "error: line\\nbreak\\x1b: no such file"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(text, arguments, status, said):
    result = invoke("train", *arguments)
    assert result.exit_code == status
    assert result.stderr.startswith(said) and result.stderr.count("\n") == 1
    assert [path.name for path in text.parent.iterdir()] == ["sea.txt"]


def test_an_unknown_flag_and_command_are_usage_errors(text):
    assert invoke("train", "--hiden", 3).exit_code == 2
    assert invoke("tarin").exit_code == 2


def test_a_run_is_not_overwritten(text):
    assert invoke("train", text, *TINY, "--steps", 2).exit_code == 0
    before = (text.parent / "checkpoints/sea/last.safetensors").read_bytes()
    for out in ([], ["--out", "checkpoints/sea"]):
        result = invoke("train", text, *TINY, "--steps", 3, *out)
        assert result.exit_code == 1
        assert (
            "checkpoints/sea already contains a run; resume it with --resume checkpoints/sea"
            in result.stderr
        )
    assert (text.parent / "checkpoints/sea/last.safetensors").read_bytes() == before


def test_the_settings_file_given_is_not_written_over(text):
    settings = text.parent / "config.toml"
    settings.write_text('text = "sea.txt"\nhidden = 8 # mine\n')
    result = invoke("train", "--config", "config.toml", "--out", ".")
    assert result.exit_code == 2 and "choose another --out" in result.stderr
    assert settings.read_text().endswith("# mine\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed_is_uninterrupted(text, number):
    request = ["train", text, *TINY, "--steps", 500, "--eval-every", 100]
    whole = program(*request, "--out", "whole", "--quiet")
    assert whole.returncode == 0, whole.stderr
    status, said = stop_at_first_validation(number, *request, "--out", "parts")
    assert status == 128 + number
    assert re.search(
        r"^stopped at step \d+; resume with: charrnn train --resume parts$", said, re.M
    )
    assert re.search(r"^sample from it.*: charrnn sample parts$", said, re.M)
    step = load_run("parts/last.safetensors").step
    assert 100 <= step < 500
    # on two threads, and with the settings of the first command given again
    resumed = program(*request, "--out", "parts", "--threads", 2, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed at step {step:,}" in resumed.stderr
    for name in ("last.safetensors", "best.safetensors"):
        assert (text.parent / "parts" / name).read_bytes() == (
            text.parent / "whole" / name
        ).read_bytes()
    steps = [
        json.loads(line)["step"]
        for line in (text.parent / "parts/history.jsonl").read_text().splitlines()
    ]
    assert steps == list(range(100, 501, 100))


def test_a_resumed_run_goes_on_for_more_steps(text):
    assert invoke("train", text, *TINY, "--steps", 4).exit_code == 0
    done = invoke("train", "--resume")
    assert done.exit_code == 0
    assert "checkpoints/sea is finished (4 steps, 0.0 epochs); for 20m more: " in done.stderr
    assert "more: charrnn train --resume checkpoints/sea --for 20m\n" in done.stderr
    assert invoke("train", "--resume", "checkpoints/sea", "--steps", 9).exit_code == 0
    assert load_run("checkpoints/sea/last.safetensors").step == 9


def ended(result):
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["finished"]
    return found["steps"], found["ended"]


def test_patience_ends_a_run_and_more_of_it_goes_on(text):
    """Without a learning rate the first validation stays the best."""
    still = ["--learning-rate", 0, "--eval-every", 2, "--patience", 2, "--steps", 99, "--json"]
    result = invoke("train", text, *TINY, *still)
    assert ended(result) == (6, "patience")
    assert (
        "ended at step 6: no new best in 2 validations; resume with a larger --patience to "
        "continue\n" in result.stderr
    )
    again = invoke("train", "--resume", "--json")
    assert ended(again) == (6, "patience")
    assert (
        "checkpoints/sea is finished (6 steps, 0.0 epochs, ended by its patience); for more: "
        "--resume with a larger --patience\n" in again.stderr
    )
    assert ended(invoke("train", "--resume", "--patience", 4, "--json")) == (10, "patience")


def test_time_ends_a_run_and_more_of_it_goes_on(text):
    result = invoke("train", text, *TINY, "--max-time", "0.2s", "--steps", 10**9, "--json")
    steps, why = ended(result)
    assert why == "time" and load_run("checkpoints/sea/last.safetensors").step == steps > 0
    assert (
        f"ended at step {steps:,}: reached --max-time 0.2s; resume with a larger one to continue\n"
        in result.stderr
    )
    again = invoke("train", "--resume", "--json")
    assert ended(again) == (steps, "time")
    assert "ended by its time); for 20m more: charrnn train --resume " in again.stderr
    assert ended(
        invoke("train", "--resume", "--max-time", "1h", "--steps", steps + 2, "--json")
    ) == (
        steps + 2,
        "steps",
    )


def test_what_a_run_is_cannot_change_when_it_goes_on(text):
    assert invoke("train", text, *TINY, "--steps", 2).exit_code == 0
    for flag, value in (
        ("--hidden", 9),
        ("--val-fraction", 0.3),
        ("--batch-size", 2),
        ("--seed", 5),
        ("--unit", "byte"),
    ):
        result = invoke("train", "--resume", "checkpoints/sea", flag, value)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"error: {flag} ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(("out", "word"), [("my run", "'my run'"), ("-run", "./-run")])
def test_what_to_type_can_be_typed_whatever_the_folder_is_called(text, out, word):
    first = [*TINY, "--steps", 2, "--out", out]
    result = invoke("train", text, *first)
    assert f"charrnn sample {word}\n" in result.stderr
    assert f"charrnn report {word}\n" in result.stderr
    assert f"resume it with --resume {word}, or" in invoke("train", text, *first).stderr
    again = ["train", "--resume", argument(out), "--steps", 3]
    assert f"--resume {word} --for" in invoke(*again[:-2]).stderr
    moved = text.rename(text.parent / "moved.txt")
    assert f"charrnn train TEXT --resume {word}\n" in invoke(*again).stderr
    text.write_text("\u00e9" + moved.read_text())
    assert f"--init-from {word} --out NEW" in invoke(*again).stderr
    shutil.rmtree(out)
    assert invoke("train", "-", *first, input=moved.read_text()).exit_code == 0
    assert f"charrnn train - --resume {word}\n" in invoke(*again).stderr


def test_a_missing_a_changed_and_a_moved_text(text):
    assert invoke("train", text, *TINY, "--steps", 2).exit_code == 0
    moved = text.rename(text.parent / "moved.txt")
    again = ["train", "--resume", "checkpoints/sea", "--steps", 3]
    result = invoke(*again)
    assert result.exit_code == 1
    assert "sea.txt: no such file or folder" in result.stderr
    assert "pass its new path: charrnn train TEXT --resume checkpoints/sea" in result.stderr
    for change in ("x", "é"):
        text.write_text(moved.read_text() + change)
        result = invoke(*again)
        assert result.exit_code == 1 and "this is not the run's text" in result.stderr
    text.unlink()
    assert invoke("train", moved, *again[1:]).exit_code == 0
    assert (
        invoke("train", "--resume", "checkpoints/sea", "--steps", 4).exit_code == 0
    )  # the new place is remembered


def test_standard_input_is_asked_for_again(text):
    words = text.read_text()
    assert invoke("train", "-", *TINY, "--steps", 2, input=words).exit_code == 0
    result = invoke("train", "--resume", "--steps", 3)
    assert (
        result.exit_code == 1
        and "pipe it in again: charrnn train - --resume checkpoints/stdin" in result.stderr
    )
    assert (
        invoke("train", "-", "--resume", "checkpoints/stdin", "--steps", 3, input=words).exit_code
        == 0
    )


@pytest.fixture
def parts(text):
    """The text, with a validation and a test text in two files each."""
    content = text.read_text()
    for n, name in enumerate(("v1", "v2", "t1", "t2")):
        Path(f"{name}.txt").write_text(content[700 * n : 700 * n + 500])
    flags = ["--validation", "v1.txt", "--validation", "v2.txt", "--test", "t1.txt"]
    return [*flags, "--test", "t2.txt"]


def test_parts_in_files_of_their_own(text, parts):
    """What is trained on is all of TEXT; the run finds its parts again, and knows them."""
    result = invoke("train", text, *parts, *TINY, "--steps", 3, "--schedule", "constant")
    assert result.exit_code == 0, result.output
    size = len(text.read_text())
    assert f"from {size:,}, is measured on 1,001, keeps 1,001 for a test" in result.output
    settings = tomllib.loads(Path("checkpoints/sea/config.toml").read_text())
    assert settings["text"] == [str(text)]
    assert settings["validation"] == [str(text.with_name(f"v{n}.txt")) for n in (1, 2)]
    assert (settings["val_fraction"], settings["test_fraction"]) == (0.0, 0.0)

    again = invoke("train", "--resume", "--steps", 5)
    assert again.exit_code == 0, again.output
    whole = invoke("train", "--config", "checkpoints/sea/config.toml", "--steps", 5, "--out", "b")
    assert whole.exit_code == 0, whole.output
    runs = [load_run(f"{folder}/last.safetensors") for folder in ("checkpoints/sea", "b")]
    flats = [run.model.parameters.flat.tolist() for run in runs]
    assert flats[0] == flats[1] and runs[0].sources == runs[1].sources
    for split, characters in (("validation", 1000), ("test", 1000), ("train", size - 1)):
        evaluated = invoke("eval", "b", "--split", split, "--json")
        assert evaluated.exit_code == 0, evaluated.output
        assert json.loads(evaluated.stdout)["characters"] == characters
    assert "test from t2.txt, 500 characters" in " ".join(invoke("info", "b").output.split())


def test_parts_that_moved_or_changed(text, parts):
    assert invoke("train", text, *parts, *TINY, "--steps", 3).exit_code == 0
    files = ["sea.txt", "v1.txt", "v2.txt", "t1.txt", "t2.txt"]
    texts = [argument for name in files for argument in ("--text", name)]
    before = invoke("eval", "--split", "test", *texts, "--json").stdout
    Path("v1.txt").rename("moved.txt")
    gone = invoke("train", "--resume", "--steps", 5)
    assert gone.exit_code == 1 and "v1.txt: no such file" in gone.output
    assert "charrnn train TEXT --validation FILE --test FILE --resume" in gone.output
    given = ["--validation", "moved.txt", "--validation", "v2.txt"]
    assert invoke("train", "--resume", "--steps", 4, *given).exit_code == 0
    assert invoke("train", "--resume", "--steps", 5).exit_code == 0
    texts[texts.index("v1.txt")] = "moved.txt"
    after = invoke("eval", "--split", "test", *texts, "--json")
    assert json.loads(before)["characters"] == json.loads(after.stdout)["characters"]
    few = invoke("eval", "--text", text)
    assert few.exit_code == 1
    assert "1 file given, but the run had 5: sea.txt, moved.txt, v2.txt, t1.txt" in few.output

    together = invoke("train", "--resume", "--steps", 6, "--test", "t2.txt", "--test", "t1.txt")
    assert together.exit_code == 1 and "is not the run's text" in together.output
    Path("t1.txt").write_text(Path("t1.txt").read_text()[::-1])
    for command in (("train", "--resume", "--steps", 6), ("eval", "--split", "validation")):
        changed = invoke(*command)
        assert changed.exit_code == 1 and "is not the run's text" in changed.output


def test_a_part_from_standard_input_has_to_be_piped_in_again(text):
    song = Path(text).read_text()
    given = [text, "--validation", "-", *TINY, "--steps", 3]
    assert invoke("train", *given, input=song).exit_code == 0
    gone = invoke("train", "--resume", "--steps", 5)
    assert gone.exit_code == 1
    assert "charrnn train TEXT --validation - --resume" in gone.output


def test_files_for_validation_win_over_a_share_in_a_preset(text, parts):
    flags = [text, *parts, "--preset", "char-rnn", *TINY, "--steps", 1]
    assert invoke("train", *flags).exit_code == 0
    both = invoke("train", *flags, "--val-fraction", 0.2)
    assert both.exit_code == 2 and "both split the text" in both.output


def test_the_same_text_in_other_parts_is_another(text, parts):
    """The ids are the same, and so is their hash."""
    Path("v2.txt").write_text("the sea\n")
    Path("t1.txt").write_text("the king\n")
    parts = ["--validation", "v1.txt", "--validation", "v2.txt", "--test", "t1.txt"]
    assert invoke("train", text, *parts, *TINY, "--steps", 3).exit_code == 0
    other = ["--validation", "v1.txt", "--test", "v2.txt", "--test", "t1.txt"]
    Path("v1.txt").write_text(Path("v1.txt").read_text() + "\n")
    result = invoke("train", "--resume", "--steps", 6, *other)
    assert result.exit_code == 1
    assert "501 characters for --validation and 17 characters for --test" in result.output


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--validation", "v1.txt", "--val-fraction", "0.2"], "--validation and --val-fraction"),
        (["--validation", "v1.txt", "--test-fraction", "0.2"], "--validation and --test-fraction"),
        (["--test", "t1.txt", "--test-fraction", "0.2"], "--test and --test-fraction"),
    ],
)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_part_is_a_file_or_a_share(text, parts, command, flags, complaint):
    result = invoke(command, text, *TINY, *flags)
    assert result.exit_code == 2, result.output
    assert f"{complaint} both split the text" in result.output
    assert invoke(command, text, "--validation", "nowhere.txt").exit_code == 1


def test_compare_with_parts(text, parts):
    command = ["compare", text, *parts, *TINY, "--vary", "dropout=0,0.5", "--seeds", 1]
    result = invoke(*command, "--steps", 3, "--out", "c", "--json")
    assert result.exit_code == 0, result.output
    again = invoke(*command, "--steps", 3, "--out", "c", "--json")
    assert again.exit_code == 0, again.output
    (config, *_) = sorted(Path("c").rglob("config.toml"))
    settings = tomllib.loads(config.read_text())
    assert [len(settings[name]) for name in ("text", "validation", "test")] == [1, 2, 2]
    varied = invoke("compare", text, *parts, *TINY, "--vary", "val_fraction=0.1,0.2")
    assert varied.exit_code == 2 and "--validation and --val-fraction" in varied.output


def test_init_from_keeps_the_old_symbols_and_adds_new_ones(text):
    assert invoke("train", text, *TINY, "--steps", 2).exit_code == 0
    (text.parent / "new.txt").write_text("zebras & quills\n" * 100)
    request = [
        "train",
        "new.txt",
        "--init-from",
        "checkpoints/sea",
        "--batch-size",
        4,
        "--steps",
        1,
    ]
    wrong = invoke(*request, "--hidden", 9)
    assert wrong.exit_code == 2 and "--hidden 9 does not match the weights" in wrong.stderr
    assert not (text.parent / "checkpoints/new").exists()
    result = invoke(*request)
    assert result.exit_code == 0, result.output
    old, new = (load_run(f"checkpoints/{name}/last.safetensors") for name in ("sea", "new"))
    assert new.vocab.symbols[: len(old.vocab)] == old.vocab.symbols
    assert {"&", "q", "z"} <= set(new.vocab.symbols[len(old.vocab) :])
    assert (new.model.config.hidden, new.init_from) == (8, "checkpoints/sea")


def test_json_is_one_object_a_line(text):
    result = program("train", text, *TINY, "--steps", 6, "--eval-every", 2, "--json")
    short, *validations, end = [json.loads(line) for line in result.stdout.splitlines()]
    assert (short["event"], short["kind"], short["settings"]) == ("advice", "short text", {})
    assert "(--init-from)" in short["text"]
    assert [entry["step"] for entry in validations] == [2, 4, 6]
    assert all(entry["validation_loss"] > 0 for entry in validations)
    assert end["run"] == "checkpoints/sea" and end["best"] == "checkpoints/sea/best.safetensors"
    assert end["validation_loss"] == min(entry["validation_loss"] for entry in validations)
    assert end["steps"] == 6 and end["seconds"] > 0


def test_nobody_watching_gets_plain_lines(text):
    result = program("train", text, *TINY, "--steps", 6, "--eval-every", 2, "--sample-every", 2)
    assert result.stdout == ""
    assert "\x1b" not in result.stderr and "\r" not in result.stderr
    assert (
        len(
            re.findall(
                r"^step \d of 6, training loss \S+, validation loss [\d.]+(, best so far)?$",
                result.stderr,
                re.M,
            )
        )
        == 3
    )
    assert "sea.txt: " in result.stderr and " parameters\n" in result.stderr


def test_quiet_says_only_the_end(text):
    result = program("train", text, *TINY, "--steps", 2, "--quiet")
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        "ended at step 2, the last",
        "best checkpoint",
        "sample from it",
    ]


def test_a_short_text_shrinks_the_batch_and_says_so(text):
    text.write_text("a rose is a rose is a rose\n")
    flags = ["--hidden", 8, "--layers", 1, "--steps", 1]
    result = invoke("train", text, *flags, "--batch-size", 32)
    assert result.exit_code == 0
    assert "the text is short: batches of 1 x 23 characters instead of 32 x 64" in result.stderr
    result = invoke("train", text, *flags, "--out", "free")
    assert result.exit_code == 0
    assert "the text is short: batches of 1 x 23 characters instead of 1 x 64" in result.stderr
    planned = ["--hidden", 8, "--layers", 1, "--for", "60s", "--batch-size", 32]
    result = program("train", text, *planned, "--out", "planned")  # its time begins with it
    assert result.returncode == 0, result.stderr
    assert "the text is short: batches of 1 x 23 characters instead of 32 x 64" in result.stderr


def test_streams_that_were_not_asked_for_are_no_news(text):
    result = invoke("train", text, "--hidden", 8, "--layers", 1, "--steps", 1)
    assert result.exit_code == 0 and "the text is short" not in result.stderr
    assert load_run("checkpoints/sea/last.safetensors").config.batch_size < 32


def failing(monkeypatch, *calls):
    """Let these steps, counted from 1 over all of a process, have no number as their loss."""
    real, counted = Network.gradients, []

    def gradients(network, *arguments):
        counted.append(1)
        loss, gradient = real(network, *arguments)
        return (float("nan") if len(counted) in calls else loss), gradient

    monkeypatch.setattr(Network, "gradients", gradients)


def test_advice_is_given_once_and_recorded(text):
    """With flags, also after a resumption, and for who watches."""
    flags = "--hidden", 24, "--layers", 1, "--batch-size", 4, "--seq-length", 16
    high = "--learning-rate", 0.3, "--eval-every", 40, "--schedule", "constant"
    result = invoke("train", text, *flags, *high, "--steps", 120)
    kinds = ("short text", "learning rate too high")
    said = [line for line in result.stderr.splitlines() if line.startswith(kinds)]
    assert [line.partition(":")[0] for line in said] == [*kinds]
    assert "train it for longer" not in result.stderr
    assert said[1].endswith("Start again with --learning-rate 0.017") and "`" not in said[1]
    record = charrnn.RunRecord.read("checkpoints/sea")
    assert [(entry["step"], entry["kind"]) for entry in record.advice] == [
        (1, kinds[0]),
        (40, kinds[1]),
    ]
    watched = invoke("watch", "--once").stdout.splitlines()
    assert [line for line in watched if line.startswith(kinds)] == said
    assert json.loads(invoke("watch", "--json").stdout)["advice"][0]["kind"] == kinds[0]
    again = invoke("train", "--resume", "--steps", 160)
    assert again.exit_code == 0 and not any(kind in again.stderr for kind in kinds)


def test_falling_back_is_one_line_and_one_object(text, monkeypatch):
    failing(monkeypatch, 4, 8)
    result = invoke(
        "train", text, *TINY, "--mogrifier", 0, "--steps", 7, "--eval-every", 2, "--json"
    )
    assert result.exit_code == 0
    said = [line for line in result.stderr.splitlines() if "back to" in line]
    assert said == [
        "step 4: loss nan, back to step 2, rate x 0.5",
        "step 6: loss nan, back to step 4, rate x 0.25",
    ]
    *objects, end = [json.loads(line) for line in result.stdout.splitlines()]
    advised = [found["kind"] for found in objects if found.get("event") == "advice"]
    assert advised == ["short text", "learning rate too high"]
    objects = [found for found in objects if found.get("event") != "advice"]
    first, _ = [found for found in objects if "event" in found]
    assert first.pop("seconds") > 0
    assert first == {
        "event": "fell back",
        "step": 4,
        "to_step": 2,
        "rate_factor": 0.5,
        "reason": "loss nan",
    }
    assert [found["step"] for found in objects] == [2, 4, 4, 6, 6, 7] and end["ended"] == "steps"
    about = json.loads(invoke("info", "checkpoints/sea", "--json").stdout)
    assert [event["fell_back_from"] for event in about["events"]] == [4, 6]
    assert [line for line in invoke("info").stdout.splitlines() if "back to" in line] == [
        "step 4: loss nan, back to step 2, rate x 0.500",
        "step 6: loss nan, back to step 4, rate x 0.250",
    ]
    failing(monkeypatch, 3)
    quiet = invoke("train", text, *TINY, "--steps", 4, "--quiet", "--out", "quiet")
    assert quiet.exit_code == 0 and "back to" not in quiet.stderr


def test_divergence_is_one_line_and_the_run_can_go_on(text, monkeypatch):
    with monkeypatch.context() as patch:
        failing(patch, 4, 6, 8, 10)
        flags = "--mogrifier", 0, "--steps", 5, "--eval-every", 2, "--save-every", 1
        result = invoke("train", text, *TINY, *flags)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(
        "error: step 4: loss nan; going back 3 times, to 0.125 of the"
    )
    assert load_run("checkpoints/sea/last.safetensors").step == 2
    again = invoke("train", "--resume", "--learning-rate", 0.001)
    assert again.exit_code == 0 and "back to" not in again.stderr
    assert load_run("checkpoints/sea/last.safetensors").fall_factor == 1


def reports_of(*changes):
    first = Report(1, 100, 0.1, 64, 0.01, 2.0, 2.0, 1.0, 0.003)
    return [replace(first, **change) for change in changes]


@pytest.mark.parametrize(
    "reason", ["loss 7.31 after 1.52", "loss nan", "gradient norm inf", "weights not finite"]
)
@pytest.mark.parametrize("columns", [40, 60])
def test_events_fit_a_narrow_terminal(monkeypatch, reason, columns):
    screen = Screen(monkeypatch, columns)
    run = small_run(small_corpus(), hidden=40)
    run.progress = replace(run.progress, best_step=123_000)
    display = Display(run)
    fall = FallBack(124_321, 123_400, 0.125, reason)
    changes = {"fell_back": fall}, {"overfitting": True, "train_loss": 1.5, "validation_loss": 1.6}
    for report in reports_of(*changes):
        display.show(replace(report, total_steps=run.total_steps))
    run.history = [{"step": 1, "overfitting": True}]
    for each in charrnn.advice(run):
        display.advise(each)
    display.say("running slower than planned: 1,234,567 steps instead of 2,345,678")
    display.close()
    said = " ".join(screen.lines())
    assert screen.widest() <= columns and screen.lines()[-1] == ""
    assert f"step 124321: {reason}, back to step 123400, rate x 0.125" in said
    assert "running slower than planned: 1,234,567 steps instead of 2,345,678" in said
    for words in ("overfitting: the", "step 123,000", "--dropout", "--hidden", "--patience"):
        assert words in said


def test_overfitting_is_said_and_the_best_is_older(text):
    text.write_text("".join(random.Random(2).choices("abcdefghijkl", k=700)))
    flags = [
        "--hidden",
        48,
        "--batch-size",
        8,
        "--seq-length",
        8,
        "--embedding",
        0,
        "--no-layer-norm",
        "--dropout",
        0,
        "--input-dropout",
        0,
        "--optimizer",
        "adam",
        "--learning-rate",
        0.01,
        "--schedule",
        "inverse-sqrt",
        "--warmup",
        0,
        "--eval-every",
        10,
    ]
    result = invoke("train", text, *flags, "--steps", 150, "--json")
    assert result.exit_code == 0
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("overfitting: ")]
    *validations, end = [json.loads(line) for line in result.stdout.splitlines()]
    (step,) = [found["step"] for found in validations if found.get("overfitting")]
    assert step in [found["step"] for found in validations if found.get("kind") == "overfitting"]
    best = end["best_step"]
    assert f"(step {best}) is kept" in said and best < step < 150
    last = result.stderr.splitlines()[-1]
    assert last == f"sample from it (step {best} of 150): charrnn sample checkpoints/sea"
    shown = invoke("info").stdout.splitlines()[-1]
    assert (
        shown == f"step {step}: overfitting, the validation loss rose while the training loss fell"
    )
    assert (
        invoke("info", "checkpoints/sea/best.safetensors", "--json").stdout.count('"events": []')
        == 1
    )


def test_two_processes_cannot_train_into_one_folder(text):
    request = [
        *PROGRAM,
        "train",
        str(text),
        *TINY,
        "--steps",
        "1000000",
        "--eval-every",
        "100",
        "--out",
        "out",
    ]
    with subprocess.Popen(request, stderr=subprocess.PIPE, text=True) as first:
        try:
            assert any(line.startswith("step ") for line in first.stderr)
            second = program("train", "--resume", "out")
        finally:
            first.send_signal(signal.SIGTERM)
            first.stderr.read()
    assert second.returncode == 1
    assert (
        second.stderr
        == "error: out: another process is training in this folder; wait for it, or choose "
        "another --out\n"
    )
    assert first.returncode == 143


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["train", "sea.txt", *TINY, "--steps", "1", "--json"]],
)
def test_a_full_disk_is_one_line(text, arguments):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = subprocess.run(
            PROGRAM + arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS
        )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and "Exception ignored" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: No space left on device")


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MemoryError("12 GB"), OSError(5, "broken", "place")]
)
def test_what_a_command_raises_becomes_a_status(text, monkeypatch, error):
    def read(*arguments, **options):
        raise error

    monkeypatch.setattr(charrnn.Corpus, "read", read)
    result = invoke("train", text)
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    said = {OSError: "error: place: broken;", MemoryError: "error: out of memory (12 GB);"}.get(
        type(error), ""
    )
    assert result.stderr.startswith(said) and result.stderr.count("\n") == bool(said)


def test_a_closed_pipe_is_quiet_and_the_run_can_go_on(text):
    request = [
        *PROGRAM,
        "train",
        str(text),
        *TINY,
        "--steps",
        "100000",
        "--eval-every",
        "50",
        "--json",
    ]
    with subprocess.Popen(
        request, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert json.loads(process.stdout.readline())["event"] == "advice"
        assert json.loads(process.stdout.readline())["step"] == 50
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(SECONDS) == 141
    assert "Traceback" not in said and "Exception ignored" not in said and "error" not in said
    assert load_run("checkpoints/sea/last.safetensors").step >= 100


def test_fields_are_dropped_by_importance():
    fields = [(0, "aaaa"), (2, "bbbb"), (1, "cccc")]
    assert fitted(fields, 16) == "aaaa  bbbb  cccc"
    assert fitted(fields, 15) == "aaaa  cccc"
    assert fitted(fields, 3) == "aaaa"


@pytest.mark.parametrize(
    ("speed", "text"), [(950, "950 chars/s"), (9500, "9.5k chars/s"), (187_000, "187k chars/s")]
)
def test_speeds(speed, text):
    assert speed_text(speed) == text


def test_a_run_goes_on_from_last_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(b"x")
    result = CliRunner().invoke(cli, ["train", "--resume", "best.safetensors"])
    assert result.exit_code == 1 and "--init-from" in result.output


def test_too_many_threads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["train", "--threads", "1000000"])
    assert result.exit_code == 2 and "--threads must be 1 to 1024" in result.output


def test_verbose_shows_the_settings(text):
    shown = invoke("train", text, *TINY, "--steps", "1", "--verbose").stderr
    assert "cell lstm" in shown and "weight_decay " in shown and "None" not in shown
    words = " of memory", " thread", " bits, epoch "
    assert all(word in shown for word in words)
    plain = invoke("train", text, *TINY, "--steps", "1", "--out", "b").stderr
    assert not any(word in plain for word in ("weight_decay", *words))
