"""What README and docs show must work: the Python example runs, and every command line shown is one
that the program takes.
"""

import re
import shlex
from pathlib import Path

import click
import pytest

import charrnn
from charrnn.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = set(cli.list_commands(click.Context(cli)))


def shown_commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            match = re.match(
                rf"(?: {{4}}|\$ ).*?\b(charrnn (?:{'|'.join(COMMANDS)})\b[^|#<>]*)", line
            )
            if match:
                found.append((page.name, match[1].strip()))
    return found


def test_pages_show_commands():
    assert {line.split()[1] for _, line in shown_commands()} == COMMANDS


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_a_shown_command_parses(page, line):
    context, arguments = click.Context(cli, info_name="charrnn"), shlex.split(line)[1:]
    command = cli.get_command(context, arguments[0])
    command.make_context(arguments[0], arguments[1:], parent=context)


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "nats a character" in printed
    assert len(printed) > 200


def test_the_example_of_a_comparison_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/compare.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("a rose is a rose is a rose\n" * 60)
    exec(compile(code, "docs/compare.md", "exec"), {})
    assert {" ".join(line.split()[:2]) for line in capsys.readouterr().out.splitlines()} == {
        "64 units",
        "128 units",
    }


def test_the_example_of_ranks_runs_without_mpi(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/many-machines.md").read_text("utf-8"), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("a rose is a rose is a rose\n" * 60)
    exec(compile(code, "docs/many-machines.md", "exec"), {})
    assert capsys.readouterr().out.startswith("1 ")


def test_the_example_of_a_measurement_runs(monkeypatch, capsys):
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/bench.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.setattr("charrnn.bench.measure.ROUND_SECONDS", 0.01)
    exec(compile(code, "docs/bench.md", "exec"), {})
    assert re.fullmatch(r"[\d,]+ characters a second, \d+% of the peak\n", capsys.readouterr().out)


def test_every_command_has_help_with_an_example_and_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    context = click.Context(cli, info_name="charrnn")
    names = cli.list_commands(context)
    assert set(names) >= COMMANDS
    for name in names:
        command = cli.get_command(context, name)
        text = command.get_help(click.Context(command, info_name=name, parent=context))
        assert f"charrnn {name}" in text, name
        assert "xample" in text, name
        assert f"charrnn {name}" in readme, name


def test_the_example_of_the_library_runs_and_its_errors_are_all(capsys):
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/python.md", "exec"), {})
    assert re.fullmatch(
        r"Run\(lstm 2 x 32, [\d,]+ parameters, step 30 of 30\)\n", capsys.readouterr().out
    )
    kinds = {kind.__name__ for kind in charrnn.CharrnnError.__subclasses__()}
    assert kinds == set(re.findall(r"^\| `(\w+Error)`", page, re.MULTILINE))


def test_the_example_of_a_trace_prints_what_the_page_says(capsys):
    page = (ROOT / "docs/seeing.md").read_text(encoding="utf-8")
    code, printed = re.search(
        r"```python\n((?:(?!```).)*charrnn\.trace.*?)```\n\nIt prints\n\n(.*?)\n\n(?! {4})",
        page,
        re.DOTALL,
    ).groups()
    exec(compile(code, "docs/seeing.md", "exec"), {})
    assert capsys.readouterr().out.split() == printed.split()
