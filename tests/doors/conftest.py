"""Tests by the tools on the other side: PyTorch, onnxruntime, openai, MPI, Optuna, Chromium.

`make test-doors` installs these into an environment of its own and sets CHARRNN_DOORS; there a
missing tool is an error, and so is a test that is skipped, in this folder or any other. Otherwise
these tests are not collected at all.
"""

import os

import pytest

IS_ASKED_FOR = bool(os.environ.get("CHARRNN_DOORS"))
collect_ignore_glob = [] if IS_ASKED_FOR else ["test_*.py"]


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", ())) if IS_ASKED_FOR and reporter else 0


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run with a skipped test has failed."""
    if session.exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why it has."""
    if count := _skipped(terminalreporter.config):
        terminalreporter.write_line(
            f"{count} skipped: with CHARRNN_DOORS set, every test has to run", red=True
        )
