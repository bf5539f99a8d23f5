"""Human labels: reading, and what they say about sessions and recordings."""

import subprocess
import traceback
from pathlib import Path

import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.errors import MalformedFileError
from iblnm.pipeline.label_rows import labels_paths
from iblnm.pipeline.labels import (
    dropped_recordings,
    label_sessions,
    labels_in_force,
    labels_version,
    read_labels,
    session_verdicts,
)
from iblnm.schemas import LABELS

REPOSITORY = Path(__file__).resolve().parents[3]
HEADER = "eid,fiber_idx,verdict,who,when,why"
EIDS = [f"00000000-0000-4000-8000-00000000000{i}" for i in range(5)]


@pytest.fixture
def write(tmp_path):
    def make(*lines, header=HEADER):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return make


def test_labels_are_read_with_comments_quotes_and_blank_lines(write):
    path = write(
        f"{EIDS[0]},,drop,me,2024-05-31,huge artifact",
        "# checked until here",
        "",
        f' {EIDS[1].upper()} , 1 ,keep,you,2024-06-01,"fine, really"',
    )
    labels = read_labels(path)
    assert list(labels) == LABELS.names
    assert labels["eid"].tolist() == EIDS[:2]
    assert labels["fiber_idx"].isna().tolist() == [True, False]
    assert labels["fiber_idx"].iloc[1] == 1
    assert labels["why"].tolist() == ["huge artifact", "fine, really"]


def test_an_absent_file_is_an_empty_table(tmp_path):
    labels = read_labels(tmp_path / "labels.csv")
    assert len(labels) == 0
    assert list(labels) == LABELS.names
    assert dropped_recordings(labels) == set()


def test_a_file_of_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "labels.csv"
    text = f"\ufeffwhy,eid,fiber_idx,verdict,who,when\r\nbad,{EIDS[0]},0,drop,me,2024-05-31\r\n"
    path.write_bytes(text.encode("utf-8"))
    assert dropped_recordings(read_labels(path)) == {(EIDS[0], 0)}


GOOD = f"{EIDS[0]},,drop,me,2024-05-31,why not"


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ((GOOD, f"{EIDS[1]},,dorp,me,2024-05-31,x"), 3, "'dorp'; keep or drop"),
        ((f"{EIDS[1]},G0,drop,me,2024-05-31,x",), 2, "fiber_idx is 'G0'"),
        ((f"{EIDS[1]},-1,drop,me,2024-05-31,x",), 2, "fiber_idx is '-1'"),
        (("cd9d071e,,drop,me,2024-05-31,x",), 2, "no session identifier"),
        ((f"{EIDS[1]},,drop,me,31.5.2024,x",), 2, "'31.5.2024'; a day as 2024-05-31"),
        ((f"{EIDS[1]},,drop,,2024-05-31,x",), 2, "who is empty"),
        ((f"{EIDS[1]},,drop,me,2024-05-31,",), 2, "why is empty"),
        ((f"{EIDS[1]},,drop,me,2024-05-31,x,y",), 2, "7 fields, 6 expected"),
        ((GOOD, "", f"{EIDS[0]},,keep,me,2024-06-01,x"), 4, "a second label for the session"),
        (
            (f"{EIDS[0]},1,keep,me,2024-06-01,x", f"{EIDS[0]},1,keep,me,2024-06-01,x"),
            3,
            "a second label for fiber 1",
        ),
    ],
)
def test_an_error_names_the_line_and_what_is_expected(write, lines, line, words):
    with pytest.raises(MalformedFileError, match=rf"labels\.csv: line {line}: ") as raised:
        read_labels(write(*lines))
    assert words in str(raised.value)
    # one traceback in a notebook, not that of the parsing before it
    assert "".join(traceback.format_exception(raised.value)).count("Traceback") == 1


def test_a_wrong_header_and_an_empty_file_are_named(write, tmp_path):
    with pytest.raises(
        MalformedFileError, match=r"line 1: the columns are eid \| fiber_idx, verdict"
    ):
        read_labels(write(header="eid | fiber_idx,verdict,who,when,why"))
    (tmp_path / "labels.csv").write_text("")
    with pytest.raises(MalformedFileError, match="header eid,fiber_idx"):
        read_labels(tmp_path / "labels.csv")


def test_the_version_changes_with_the_file(write, tmp_path):
    assert labels_version(tmp_path / "absent.csv") == "none"
    first = labels_version(write(GOOD))
    assert first == labels_version(write(GOOD))
    assert first != labels_version(write(GOOD.replace("drop", "keep")))


def test_sessions_know_their_verdict_and_their_dropped_fibers(write):
    labels = read_labels(
        write(
            f"{EIDS[0]},,drop,me,2024-05-31,x",
            f"{EIDS[1]},1,drop,me,2024-05-31,x",
            f"{EIDS[1]},0,keep,me,2024-05-31,x",
            f"{EIDS[2]},,keep,me,2024-05-31,x",
            f"{EIDS[4]},,drop,me,2024-05-31,not in the table",
        )
    )
    assert dropped_recordings(labels) == {(EIDS[0], None), (EIDS[1], 1), (EIDS[4], None)}
    sessions = pd.DataFrame({"eid": EIDS[:4], "n_recordings": pd.array([2, 2, 1, None], "Int64")})
    labeled = label_sessions(sessions, labels)
    assert labeled["label"].fillna("none").tolist() == ["drop", "none", "keep", "none"]
    assert labeled["excluded"].tolist() == [[0, 1], [1], [], []]
    assert "label" not in sessions


def test_the_project_s_labels_hold_under_a_root_of_its_own_unless_that_says_otherwise(tmp_path):
    dropped = read_labels(REPOSITORY / "metadata" / "labels.csv").eid.iloc[:2].tolist()
    settings = Settings(root=tmp_path, _env_file=None)
    assert set(dropped) <= {eid for eid, _ in dropped_recordings(labels_in_force(settings))}
    settings.labels_fpath.parent.mkdir()
    settings.labels_fpath.write_text(f"{HEADER}\n{dropped[0]},,keep,me,2024-05-31,seen again\n")
    verdicts = session_verdicts(labels_in_force(settings))
    assert verdicts[dropped[0]] == "keep"
    assert verdicts[dropped[1]] == "drop"
    assert labels_paths(Settings(root=REPOSITORY, _env_file=None)) == (
        REPOSITORY / "metadata" / "labels.csv",
    )


def test_the_five_sessions_of_the_project_are_shipped_as_dropped():
    labels = read_labels(REPOSITORY / "metadata" / "labels.csv")
    shipped = labels[labels["who"] == "project"]
    assert {eid[:8] for eid in shipped["eid"]} == {
        "cd9d071e",
        "16aa7570",
        "f4f1d7fe",
        "a60531cd",
        "1c09046e",
    }
    assert shipped["verdict"].unique().tolist() == ["drop"]
    assert shipped["fiber_idx"].isna().all()


def test_git_does_not_ignore_the_labels():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git checkout")
    path = Settings(root=REPOSITORY).labels_fpath.relative_to(REPOSITORY)
    ignored = subprocess.run(["git", "check-ignore", "-q", str(path)], cwd=REPOSITORY)
    assert ignored.returncode == 1
