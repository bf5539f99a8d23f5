"""Photometry signals: quality, bleaching, isosbestic correction, resampling, responses.

Arrays and frames in, arrays, frames or xarray objects out; nothing here reads a file.
"""
