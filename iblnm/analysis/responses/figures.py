"""The figure of one session that stands for the others."""

from iblnm.vis.example_choice import stored_session_figure

__all__ = ["stored_session_figure"]
