"""The stages of the cohort: each reads tables and session files and composes the analyses."""
