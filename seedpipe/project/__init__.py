"""A project, the folder in which the pipeline runs: :func:`start_project` makes one, :func:`examine` looks it over."""

from seedpipe.project.doctor import examine
from seedpipe.project.finding import Finding, healthy
from seedpipe.project.paths import ProjectPaths
from seedpipe.project.start import start_project

__all__ = ["Finding", "ProjectPaths", "examine", "healthy", "start_project"]
