"""Reference of all that is declared: rules, metrics, stages, analyses, tables, settings."""

from iblnm.reference.declared import reference_pages, write_reference
from iblnm.reference.rules import rule_address, rule_pages, rule_text
from iblnm.reference.sentences import without_sentence

__all__ = [
    "reference_pages",
    "rule_address",
    "rule_pages",
    "rule_text",
    "without_sentence",
    "write_reference",
]
