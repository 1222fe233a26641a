"""The tests of vetset: flat files by matter, vectors and transcripts beside them."""
