"""One session, from archive to outcomes: stages, rules, outcomes, selection."""
