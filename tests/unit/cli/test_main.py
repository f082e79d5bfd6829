"""The frame of the command line: lazy loading, help, usage errors."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from giltrace.cli.main import COMMANDS, cli

HEAVY = ("numpy", "rich", "textual", "perfetto", "psutil")


def imported_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has imported after running ``code``."""
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\n"
    program += "print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return set(done.stderr.decode().split())


def test_help_imports_no_command_and_nothing_heavy() -> None:
    """`giltrace --help` pays for click and nothing else."""
    modules = imported_by("from giltrace.cli.main import cli; cli.main(['--help'])")
    assert "click" in modules
    assert [name for name in HEAVY if name in modules] == []
    assert [entry.module for entry in COMMANDS.values() if entry.module in modules] == []


@pytest.mark.parametrize("name", ["report", "export", "doctor", "scenario", "bench"])
def test_command_help_imports_nothing_heavy(name: str) -> None:
    """The help of a command, and so its start, does not wait for numpy or rich."""
    modules = imported_by(f"from giltrace.cli.main import cli; cli.main(['{name}', '--help'])")
    assert [module for module in HEAVY if module in modules] == []


def test_ctrl_c_while_it_starts_is_one_line() -> None:
    """Also before there is a command line to say so."""
    code = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "giltrace.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
runpy.run_module("giltrace", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"giltrace: interrupted\n")


def test_help_lists_the_commands_in_order_of_use() -> None:
    """All commands stand in the help, with the line of the table."""
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    lines = result.stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")][: len(COMMANDS)] == list(
        COMMANDS
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_line_is_that_of_the_command(name: str) -> None:
    """The static line in the table cannot drift away from the command's own."""
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200) == COMMANDS[name].help


@pytest.mark.parametrize(
    ("arguments", "stderr"),
    [
        (["nonsense"], "giltrace: no such command 'nonsense'\nhint: See giltrace --help\n"),
        (["--nonsense"], "giltrace: no such option '--nonsense'\nhint: See giltrace --help\n"),
        (
            ["report"],
            "giltrace: missing argument 'CAPTURE'\nhint: See giltrace report --help\n",
        ),
        (
            ["report", "x", "--top", "0"],
            "giltrace: invalid value for '--top': 0 is not in the range x>=1\n"
            "hint: See giltrace report --help\n",
        ),
        (
            ["attach", "gunicorn"],
            "giltrace: invalid value for 'PID': 'gunicorn' is not a valid process id\n"
            "hint: See giltrace attach --help\n",
        ),
        (
            ["attach", "--sched", "1"],
            "giltrace: 'giltrace attach' does not record what the kernel does with the threads\n"
            "hint: giltrace record --sched does: that is recorded from the start of a program.\n",
        ),
        (
            ["live", "--sched", "server.py"],
            "giltrace: 'giltrace live' does not record what the kernel does with the threads\n"
            "hint: giltrace record --sched does: that is recorded from the start of a program.\n",
        ),
    ],
)
def test_usage_errors_are_two_lines(arguments: list[str], stderr: str) -> None:
    """A wrong command line exits with 2 and says what is wrong and where to look."""
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", stderr)


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("record", "--duration"),
        ("record", "--ring"),
        ("record", "--cool-down"),
        ("record", "--least-span"),
        ("attach", "--duration"),
        ("live", "--seconds"),
        ("report", "--think-ms"),
        ("bench", "--sleep-ms"),
        ("scenario", "--time-limit"),
    ],
)
def test_amounts_are_numbers_that_can_be_counted(name: str, option: str, value: str) -> None:
    """``nan`` and ``inf`` are wrong usage, not a fault."""
    result = CliRunner().invoke(cli, [name, option, value, "1"])
    assert result.exit_code == 2
    assert f"invalid value for '{option}'" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_line_by_line(name: str) -> None:
    """What tells click to leave a paragraph as it is does not show."""
    result = CliRunner().invoke(cli, [name, "--help"])
    assert "\\b" not in result.output and "\b" not in result.output


def test_no_arguments_show_the_help() -> None:
    """Just `giltrace` is a request for help."""
    result = CliRunner().invoke(cli, [])
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_python_dash_m() -> None:
    """`python -m giltrace` is the same program and calls itself giltrace."""
    done = subprocess.run(
        [sys.executable, "-m", "giltrace", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: giltrace ")
    assert done.stderr == ""
