"""Sessions as files of other formats; the libraries of these formats are optional extras."""
