"""Files and folders that appear whole or not at all, and never in the place of what is not ours."""

from seedpipe.files.digests import digest_of, file_digest, sealed
from seedpipe.files.folders import OutputKind, publish_folder, put_aside, whole_folder
from seedpipe.files.inputs import identity, open_input, read_bytes, read_text, steady_input
from seedpipe.files.locks import locked
from seedpipe.files.names import normal, two_forms
from seedpipe.files.notes import read_note, write_note
from seedpipe.files.paths import StrPath, fsync, link_target, title_of
from seedpipe.files.reading import most_unpacked, read_again, read_document, read_json
from seedpipe.files.tables import lines_of, read_table
from seedpipe.files.whole import file_beside, whole_file, whole_files, write_text

__all__ = [
    "OutputKind",
    "StrPath",
    "digest_of",
    "file_beside",
    "file_digest",
    "fsync",
    "identity",
    "lines_of",
    "link_target",
    "locked",
    "most_unpacked",
    "normal",
    "open_input",
    "publish_folder",
    "put_aside",
    "read_again",
    "read_bytes",
    "read_document",
    "read_json",
    "read_note",
    "read_table",
    "read_text",
    "sealed",
    "steady_input",
    "title_of",
    "two_forms",
    "whole_file",
    "whole_files",
    "whole_folder",
    "write_note",
    "write_text",
]
