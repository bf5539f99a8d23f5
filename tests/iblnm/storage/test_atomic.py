import os
import signal
import subprocess
import sys
import time

import pytest

from iblnm.errors import TransientError
from iblnm.storage import atomic
from iblnm.storage.atomic import locked, update_whole, write_whole


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if ".tmp" in p.name)


def test_new_content_replaces_old(tmp_path):
    path = tmp_path / "sub" / "file.txt"
    for text in ("old", "new"):
        with write_whole(path) as temporary:
            temporary.write_text(text)
            assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert leftovers(path.parent) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_keeps_old_file_and_leaves_nothing(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error)), write_whole(path) as temporary:
        temporary.write_text("half of the new")
        raise error
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_update_gives_a_copy(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with update_whole(path) as temporary:
        assert temporary.read_text() == "old"
        temporary.write_text(temporary.read_text() + ", then new")
        assert path.read_text() == "old"
    assert path.read_text() == "old, then new"


def test_update_sets_aside_what_is_not_intact(tmp_path):
    path = tmp_path / "file.txt"
    for n, text in enumerate(("first damage", "second damage"), start=1):
        path.write_text(text)
        with (
            pytest.warns(UserWarning, match=rf"file.txt.corrupt-{n}"),
            update_whole(path, is_intact=lambda p: False) as temporary,
        ):
            assert not temporary.exists()
            temporary.write_text("fresh")
        assert path.read_text() == "fresh"
        assert (tmp_path / f"file.txt.corrupt-{n}").read_text() == text


def test_temporary_files_of_dead_processes_are_removed_at_the_next_write(tmp_path):
    path = tmp_path / "file.txt"
    code = (
        "import sys, os, signal\n"
        "from iblnm.storage.atomic import write_whole\n"
        "with write_whole(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(leftovers(tmp_path)) == 1
    assert not path.exists()
    with write_whole(path) as temporary:
        temporary.write_text("whole")
    assert leftovers(tmp_path) == []
    assert path.read_text() == "whole"


def test_temporary_files_of_running_processes_and_other_targets_stay(tmp_path):
    path = tmp_path / "file.txt"
    with write_whole(path) as first:
        first.write_text("first")
        with write_whole(path) as second:
            second.write_text("second")
        with write_whole(tmp_path / "other.txt") as third:
            third.write_text("third")
        assert first.exists()
    assert path.read_text() == "first"


@pytest.mark.slow
def test_lock_excludes_another_process_and_is_freed_by_its_death(tmp_path):
    path = tmp_path / "file.txt"
    code = (
        "import sys, time\n"
        "from iblnm.storage.atomic import locked\n"
        "with locked(sys.argv[1]):\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline().strip() == "locked"
    with pytest.raises(TransientError, match=r"file.txt.*0.2 s"), locked(path, timeout_s=0.2):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    start = time.monotonic()
    with locked(path, timeout_s=5):
        assert time.monotonic() - start < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_fork_is_another_process_than_a_dead_one_with_its_id(tmp_path):
    """Forks share what their parent has imported, also when it started."""
    ours = atomic._temporary_path(tmp_path / "a.pqt").name
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, atomic._temporary_path(tmp_path / "a.pqt").name.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(reader, 4096).decode()
    started = [name.split("~")[2] for name in (ours, theirs)]
    assert started[0] != started[1]
