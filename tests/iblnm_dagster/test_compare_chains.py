"""The command that compares corrections."""

import pandas as pd
import pytest
from click.testing import CliRunner

from iblnm.signal.chains import CHAINS, DOCUMENTED, registry
from iblnm.storage.parquet import read_provenance
from iblnm.storage.store import SessionStore
from iblnm_dagster import chain_commands, own_archive

UNKNOWN = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def run(viewed_settings, monkeypatch):
    for module in (chain_commands, own_archive):
        monkeypatch.setattr(module, "get_settings", lambda: viewed_settings)
    return lambda *words: CliRunner().invoke(chain_commands.compare_chains, list(words))


def test_it_writes_one_table_and_names_what_it_could_not_compare(run, viewed_settings, tmp_path):
    eid = SessionStore(viewed_settings).eids("photometry")[0]
    chosen = tmp_path / "eids.txt"
    chosen.write_text(f"{UNKNOWN}\n{eid}\n")
    sessions = viewed_settings.sessions_h5_dir
    before = {path: path.read_bytes() for path in sessions.glob("*.h5")}
    done = run("--eids", str(chosen), "--chain", "dexp_irls")
    assert done.exit_code == 1, done.output
    assert f"{UNKNOWN}  not compared: nothing is stored of it" in done.output
    assert "1 of 2 sessions" in done.output
    path = viewed_settings.results_dir / "corrections" / "compared_chains.pqt"
    table = pd.read_parquet(path)
    assert set(table["eid"]) == {eid}
    assert set(table["chain"]) == {DOCUMENTED, "dexp_irls"}
    parameters = read_provenance(path).parameters
    assert parameters["chains"]["max_disagreement"] == 0.2
    assert {path: path.read_bytes() for path in sessions.glob("*.h5")} == before


def test_what_it_needs_is_said_before_anything_is_read(run, monkeypatch, viewed_settings):
    refused = run("--chain", "nothing")
    assert refused.exit_code == 2
    assert "there are documented" in refused.output
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    refused = run("--chain", "asls_irls")
    assert refused.exit_code == 2
    assert "pip install 'iblnm[chains]'" in refused.output
    assert not (viewed_settings.results_dir / "corrections").exists()


def test_help_describes_every_chain(run):
    text = run("--help").output
    assert all(chain.name in text for chain in CHAINS)
