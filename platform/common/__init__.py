"""What every room may use: errors, whole files, seeds, versions. Imports no other room."""
