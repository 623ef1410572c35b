"""Things around the library that a project may change."""
