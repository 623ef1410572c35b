"""Files and folders that appear whole or not at all, and never in the place of what is not ours."""

from seedpipe.files.folders import OutputKind, publish_folder, put_aside, whole_folder
from seedpipe.files.locks import locked
from seedpipe.files.paths import StrPath, fsync, link_target
from seedpipe.files.reading import most_unpacked, read_document, read_json
from seedpipe.files.whole import whole_file

__all__ = [
    "OutputKind",
    "StrPath",
    "fsync",
    "link_target",
    "locked",
    "most_unpacked",
    "publish_folder",
    "put_aside",
    "read_document",
    "read_json",
    "whole_file",
    "whole_folder",
]
