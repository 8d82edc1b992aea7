"""Lines typed at a real pseudo-terminal, and Ctrl-C at the worst moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pexpect
import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from bsti_submit.cli.keyboard import typed_line

def ask():
    print("> ", end="", flush=True)
    return typed_line()

try:
    print("heard", ask(), ask())
except KeyboardInterrupt:
    print("stopped")
except EOFError:
    print("ended")
"""
# Every wait for standard input begins late, so that what is pressed once the prompt is there falls before it.
LATE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>
static void late(void) {
    struct timespec left = {1, 0};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {}
}
ssize_t read(int file, void *to, size_t count) {
    ssize_t (*next)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    if (file == 0) late();
    return next(file, to, count);
}
char *fgets(char *to, int count, FILE *from) {
    char *(*next)(char *, int, FILE *) = dlsym(RTLD_NEXT, "fgets");
    if (from == stdin) late();
    return next(to, count, from);
}
int select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *limit) {
    int (*next)(int, fd_set *, fd_set *, fd_set *, struct timeval *) = dlsym(RTLD_NEXT, "select");
    if (reads != NULL && FD_ISSET(0, reads)) late();
    return next(count, reads, writes, others, limit);
}
"""


def runs(program: str, **variables: str) -> pexpect.spawn[str]:
    child = pexpect.spawn(
        sys.executable, ["-c", program], env={**os.environ, **variables}, encoding="utf-8", timeout=20
    )
    child.delaybeforesend = None
    return child


def test_lines_are_read_one_by_one_also_those_typed_ahead() -> None:
    child = runs(PROGRAM)
    child.send("first\nsecond\n")
    child.expect_exact("heard first second")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize(("control", "said"), [("c", "stopped"), ("d", "ended")])
def test_ctrl_c_and_ctrl_d_while_it_waits(control: str, said: str) -> None:
    child = runs(PROGRAM)
    child.expect_exact("> ")
    time.sleep(0.3)
    child.sendcontrol(control)
    child.expect_exact(said)
    child.expect(pexpect.EOF)


@pytest.mark.skipif(sys.platform != "linux", reason="delays the system's calls by LD_PRELOAD, which only Linux has")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: the late terminal can't be built")
def test_ctrl_c_between_the_prompt_and_the_wait_is_heard(tmp_path: Path) -> None:
    (tmp_path / "late.c").write_text(LATE)
    library = tmp_path / "late.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "late.c", "-ldl"], check=True)

    def hears(program: str) -> bool:
        child = runs(program, LD_PRELOAD=str(library))
        child.expect_exact("> ")
        child.sendcontrol("c")
        heard = child.expect_exact(["stopped", pexpect.TIMEOUT], timeout=4) == 0
        child.close(force=True)
        return heard

    assert not hears(PROGRAM.replace("typed_line()", "input()")), "the terminal is not late enough to show anything"
    assert hears(PROGRAM)
