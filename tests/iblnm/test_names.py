"""The names that notebooks of the project import, each at its place."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from iblnm.data import PhotometrySession, PhotometrySessionGroup

ROOT = Path(__file__).resolve().parents[2]
HEAVY = [
    "one",
    "brainbox",
    "iblphotometry",
    "scipy",
    "sklearn",
    "statsmodels",
    "matplotlib",
    "xarray",
    "h5py",
    "pandera",
    "requests",
    "dagster",
]
NAMES = {
    "analysis": """
        get_responses compute_bleaching_tau compute_iso_correlation resample_signal
        compute_response_magnitude normalize_responses split_features_by_event
        cosine_similarity_matrix within_between_similarity mean_similarity_by_target
        decode_target_nm TargetNMDecoder feature_unique_contribution fit_response_glm
        GLMPCAResult pca_glm_coefficients ica_glm_coefficients pca_score_stats
        CCAResult fit_cca fit_sparse_cca cross_project_cca align_cca_signs
        compare_cca_weights LMMResult fit_response_lmm compute_marginal_means
        compute_contrast_slopes compute_interaction_effects loso_cv_movement_lmm
        fit_movement_lmm_per_contrast fit_wheel_lmm compute_recording_projection
        anova_rm kruskal_wallis_groups pairwise_mannwhitney
    """,
    "task": """
        get_block_lengths validate_block_structure reconstruct_probability_left
        validate_block_match count_sessions_to_stage get_subjects_by_stage
        compute_trial_contrasts add_relative_contrast compute_fraction_correct
        compute_nogo_fraction fit_psychometric fit_psychometric_by_block
        compute_bias_shift sort_trials_by_type
    """,
    "validation": """
        InvalidSubject InvalidStrain InvalidLine InvalidNeuromodulator
        InvalidBrainRegion MissingBrainRegion MissingHemisphere HemisphereMismatch
        MissingInsertion MissingHemiSuffix DataNotListed InvalidSessionType
        InvalidTargetNM InvalidSessionLength TrueDuplicateSession
        MissingExtractedData MissingResponses MissingRawData InsufficientTrials
        BlockStructureBug MissingBlockInfo IncompleteEventTimes
        TrialsNotInPhotometryTime BandInversion EarlySamples FewUniqueSamples
        QCValidationError AmbiguousRegionMapping MissingVideoTimestamps
        VideoLengthError VideoTimestampsQCError VideoDroppedFramesQCError
        VideoPinStateQCError make_log_entry exception_logger validate_subject
        validate_strain validate_line validate_neuromodulator validate_brain_region
        validate_datasets validate_hemisphere validate_video_length
        validate_video_timestamps_qc validate_video_dropped_frames_qc
        validate_video_pin_state_qc
    """,
    "util": """
        LOG_COLUMNS concat_logs deduplicate_log collect_session_errors
        collect_catalog collect_errors enforce_schema has_dataset add_dataset_flags
        get_session_type get_targetNM resolve_duplicate_group
        fill_parallel_lists_from_group validate_parallel_lists
        fill_brain_region_from_fibers derive_target_nm aggregate_qc_per_session
        contrast_transform contrast_inverse get_contrast_coding
        exception_logger collect_qc df2pqt fill_empty_lists_from_group fix_brain_regions
    """,
    "io": """
        get_session_dict get_brain_region get_subject_info get_datasets
        _get_default_connection get_extended_qc get_fiber_coordinates
    """,
    "config": """
        TARGET_FS RESPONSE_WINDOW BASELINE_WINDOW RESPONSE_WINDOWS ANALYSIS_CONTRASTS
        SESSION_SCHEMA SUBJECTS_TO_EXCLUDE VALID_STRAINS VALID_TARGETS
        VALID_NEUROMODULATORS LENGTH_MISMATCH_THRESHOLD NM_CMAPS TARGETNM_COLORS
        TARGETNM2POSITION SESSIONS_FPATH SESSIONS_H5_DIR RESPONSE_EVENTS
        QUERY_DATABASE_LOG_FPATH PHOTOMETRY_LOG_FPATH TASK_LOG_FPATH WHEEL_LOG_FPATH
        VIDEO_LOG_FPATH ERRORS_FPATH VIDEO_FPATH SESSIONS_QC_FPATH TRAJECTORIES_FPATH
        LP_SESSIONS_FPATH TRIAL_TIMING_FPATH RESULTS_DIR RESPONSES_DIR RESPONSES_FPATH
        RESPONSE_MATRIX_FPATH MEAN_TRACES_FPATH TRIAL_REGRESSORS_FPATH PEAK_VELOCITY_FPATH
        MOVEMENT_ENCODING_DIR TASK_ENCODING_DIR
    """,
}
SESSION = """
    from_h5 from_alyx log_error to_dict to_series fix_block_structure get_trial_timings
    get_response_vector load_wheel extract_wheel_velocity extract_responses save_h5
    load_h5 preprocess run_raw_qc run_sliding_qc
"""
GROUP = """
    sessions recordings deduplicate process filter_sessions load_performance
    load_response_magnitudes load_trial_timing load_peak_velocity load_mean_traces
    load_response_features load_response_traces flush_response_traces get_mean_traces
    get_glm_response_features get_psychometric_features fit_cca fit_cohort_cca
    cross_project_cca compare_cca_weights fit_lmm anova_response_magnitudes
    enrich_peak_velocity fit_wheel_lmm pca_glm_coefficients ica_glm_coefficients
    response_traces response_traces_tpts mean_traces trial_timing peak_velocity
    performance psychometric_features glm_response_features cca_result cohort_cca_results
    cohort_cca_data cohort_cca_cross_projections cohort_cca_weight_similarities
    lmm_results lmm_coefficients lmm_re_formula wheel_lmm_results wheel_lmm_summary
    glm_pca_result anova_results events response_features similarity_matrix decoder
    response_magnitudes get_response_magnitudes get_response_features
    response_similarity_matrix decode_target explode_recordings filter from_catalog
    _catalog
"""


@pytest.mark.parametrize("module", NAMES)
def test_names_of_a_module(module):
    found = import_module(f"iblnm.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


def test_names_of_a_session_and_of_a_group():
    fiber = {"brain_region": [["VTA"]], "hemisphere": [["l"]], "target_NM": [["VTA-DA"]]}
    sessions = pd.DataFrame({"eid": ["0a64126d-a149-4d28-80d8-00a5ca60c681"], "subject": ["m"]})
    group = PhotometrySessionGroup(sessions.assign(**fiber))
    assert [name for name in SESSION.split() if not hasattr(PhotometrySession, name)] == []
    assert [name for name in GROUP.split() if not hasattr(group, name)] == []


def _modules_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.slow
@pytest.mark.parametrize("facade", ["util", "validation", "gui"])
def test_nothing_inside_imports_names_made_for_notebooks(facade):
    name = f"iblnm.{facade}"
    users, n_modules = [], 0
    for folder in ("iblnm", "iblnm_dagster"):
        for path in (ROOT / folder).rglob("*.py"):
            place = path.relative_to(ROOT)
            n_modules += 1
            if facade not in place.with_suffix("").parts and any(
                module == name or module.startswith(f"{name}.") for module in _modules_of(path)
            ):
                users.append(str(place))
    assert n_modules > 100
    assert users == []


@pytest.mark.slow
@pytest.mark.parametrize("facade", ["util", "validation", "io"])
def test_names_made_for_notebooks_load_nothing_heavy(facade):
    code = f"import sys, iblnm.{facade}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert [name for name in HEAVY if name in run.stdout.split()] == []
