"""Run directories that are kept elsewhere, behind a URI."""
